"""The wheel that is built from the sdist, installed elsewhere, and run from another directory."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.e2e.conftest import TIMEOUT_S, environment

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


def run(*arguments: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        list(map(str, arguments)), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_from_the_sdist_runs_in_another_environment_and_directory(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    for name in filter(None, tracked.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPOSITORY / name).read_bytes())
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", source, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")

    environment_dir = tmp_path / "environment"
    venv.create(environment_dir, with_pip=False)
    python = environment_dir / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    (packages,) = (environment_dir / "lib").glob("python*/site-packages")
    # hpo's dependencies, and not its editable install: a path in a .pth file has its own .pth files ignored
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + os.linesep)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = run(
        python, "-c", "import hpo, hpo_launchers; print(hpo.__file__, hpo_launchers.__file__)", cwd=elsewhere
    )
    assert where.count(str(environment_dir)) == 2
    out = run(
        *(python, "-W", "ignore", "-m", "hpo", "+experiment=quadratic", "--multirun", "total_trials=2"),
        f"experiment_dir={elsewhere / 'experiments'}",
        cwd=elsewhere,
    )
    assert "best trial by loss" in out
    assert (environment_dir / "bin" / "hpo").exists()

    written = run(python, "-m", "hpo.init", "my_net", cwd=elsewhere)
    assert "my_net/model.py" in written
    out = run(
        *(python, "-W", "ignore", "-m", "hpo", "+experiment=spirals", "--multirun", "total_trials=1"),
        cwd=elsewhere / "my_net",
    )
    assert "best trial by val_accuracy" in out
