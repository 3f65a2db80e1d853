"""README's listings of a project of one's own: laid out as files and run by the commands that stand beside them.

A block whose first line is a comment with a path is that file; `# @package` comes before it, since Hydra wants
that in the first line. A block that begins with `python -m` is commands.
"""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY, run_in_process

SECTION = "Your own model, data and search space"
NUM_TRIALS = 2
_FILE = re.compile(r"# ([\w./]+\.(?:py|yaml|toml))")
_PACKAGE = "# @package "
_COMMAND = "python -m "
_LIMIT_S = 180


def blocks() -> list[list[str]]:
    """The listings of the section: indented lines; a file's first line, and a first command, begin a new one."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {SECTION}\n")[2].partition("\n## ")[0]
    found: list[list[str]] = []
    for is_listing, lines in groupby(section.splitlines(), lambda line: line.startswith("    ") or not line):
        listing = [line.removeprefix("    ") for line in lines] if is_listing else []
        for before, line in zip(["", *listing], listing, strict=False):
            if not before and (line.startswith((_PACKAGE, _COMMAND)) or _FILE.fullmatch(line)):
                found.append([])
            if found and (line or found[-1]):
                found[-1].append(line)
    return found


def files() -> dict[str, str]:
    """Path -> text of every listing of a file."""
    listed = []
    for block in blocks():
        match = _FILE.fullmatch(block[1] if block[0].startswith(_PACKAGE) else block[0])
        if match:
            listed.append((match.group(1), block))
    assert len({path for path, _ in listed}) == len(listed), "a file is listed twice"
    return {path: "\n".join(block).rstrip() + "\n" for path, block in listed}


def commands() -> list[str]:
    return [line for block in blocks() for line in block if line.startswith(_COMMAND)]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The listings as files, and the data that they read."""
    for path, text in files().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=300)
    np.savez(tmp_path / "points.npz", points=labels[:, None] + rng.normal(0, 0.1, (300, 2)), labels=labels)
    return tmp_path


def test_the_section_lists_a_model_data_a_step_and_a_task() -> None:
    assert {"mypkg/net.py", "mypkg/points.py", "mypkg/step.py", "mypkg/fit.py", "pyproject.toml"} <= set(files())
    experiments = {Path(path).stem for path in files() if path.startswith("conf/experiment/")}
    assert {f"{_COMMAND}hpo +experiment={name} --multirun" for name in experiments} <= set(commands())


def test_the_python_listings_are_clean_under_ruff(project: Path) -> None:
    # a listing has one blank line where a file has two
    done = run(project, "-m", "ruff", "check", "--isolated", "--no-cache", "--ignore=I001", ".")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_section_runs_with_the_listings(
    project: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    arguments = command.removeprefix("python ").split()
    if "--multirun" in arguments:
        done = run(project, *arguments, f"total_trials={NUM_TRIALS}")
    elif "hpo.init" in arguments:
        done = run(project, *arguments)
    else:  # it trains in the process of the command, for which this one will do
        done = run_in_process(project, arguments[2:], capfd)
    assert (done.returncode, done.stderr) == (0, "")
    if "hpo.init" in arguments:
        return
    num_trials = NUM_TRIALS if "--multirun" in arguments else 1
    assert f"{num_trials} complete, 0 failed" in done.stdout
    assert len(list((project / "experiments").glob("experiment_*/0*/results.json"))) == num_trials
