"""The points at which a process kills itself: nothing happens there unless it is asked for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from hpo import faults
from tests.conftest import REPOSITORY

REACH_TWICE = """
from pathlib import Path
from hpo.faults import reach
for time in (1, 2):
    reach("asked")
    reach("at_exit", lambda: Path("torn").write_text(str(time)))
    print("passed", time, flush=True)
"""


def run(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", REACH_TWICE],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_nothing_happens_as_shipped(tmp_path: Path) -> None:
    done = run(tmp_path)

    assert (done.returncode, done.stdout.split()) == (0, ["passed", "1", "passed", "2"])
    assert list(tmp_path.iterdir()) == []
    assert faults.reach("asked") is None


def test_a_process_dies_at_the_nth_time_once_and_tells_so_before(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    variables = {"HPO_FAULT": "at_exit:2,asked:3", "HPO_FAULT_MARKS": str(marks)}

    died, passed = run(tmp_path, **variables), run(tmp_path, **variables)

    assert (died.returncode, died.stdout.split()) == (-signal.SIGKILL, ["passed", "1"])
    assert [mark.name for mark in marks.iterdir()] == ["at_exit:2"]
    assert (tmp_path / "torn").read_text() == "2"
    assert passed.returncode == 0


def test_a_point_that_is_none_is_a_mistake_that_lists_those_there_are(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hpo", "+experiment=quadratic"],
        cwd=tmp_path,
        env=os.environ | {"HPO_FAULT": "nowhere:1"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert "'nowhere:1'" in done.stderr
    assert all(point in done.stderr for point in faults.POINTS)
    assert "Traceback" not in done.stderr


def test_every_point_is_somewhere_in_the_code_and_every_one_there_is_listed() -> None:
    sources = [path.read_text() for path in (REPOSITORY / "src").rglob("*.py") if path.name != "faults.py"]
    reached = {point for text in sources for point in re.findall(r'reach\(\s*"(\w+)"', text)}

    assert reached | {"study_commit", "state_commit"} == faults.POINTS.keys()
