"""A search that really runs while its pages are looked at."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpo.paths import EXPERIMENT_PREFIX, ExperimentPaths
from hpo.saved import SavedExperiment

# trial 1 goes on and on, trial 2 fails, the others take a moment
_TASK = """
import logging
import time

def work(trial, x, y):
    if trial.number == 2:
        raise ValueError("<b>planted</b>")
    for step in range(1, 2000 if trial.number == 1 else 6):
        time.sleep(0.2)
        logging.getLogger("work").info("this is step %d", step)
        trial.report({"loss": (x - 2) ** 2 + (y + 1) ** 2 + 10 / step}, step)
        if trial.should_stop():
            break
    return {"loss": (x - 2) ** 2 + (y + 1) ** 2}
"""
_LIMIT_S = 90


@contextmanager
def searching(folder: Path) -> Iterator[ExperimentPaths]:
    """`python -m hpo` in a folder, from the moment that a trial has reported, until the block ends."""
    (folder / "work.py").write_text(_TASK, encoding="utf-8")
    (folder / "pyproject.toml").write_text('[tool.hpo]\nallow_targets = ["work.*"]\n', encoding="utf-8")
    shown = folder / "shown"
    command = [
        *(sys.executable, "-m", "hpo", "+experiment=quadratic", "task._target_=work.work", "--multirun"),
        *(f"experiment_dir={shown}", "total_trials=500", "concurrent_trials=2", "verbose=silent"),
    ]
    with subprocess.Popen(command, cwd=folder, start_new_session=True) as process:
        try:
            yield _begun(process, shown)
        finally:
            process.terminate()


def _begun(process: subprocess.Popen[bytes], shown: Path) -> ExperimentPaths:
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the search ended"
        for root in shown.glob(f"{EXPERIMENT_PREFIX}*"):
            paths = ExperimentPaths.of(root)
            if paths.state_db.exists() and _has_reported(paths):
                return paths
        time.sleep(0.1)
    raise AssertionError(f"no trial has reported within {_LIMIT_S} s")


def _has_reported(paths: ExperimentPaths) -> bool:
    try:
        trials = SavedExperiment.open(paths.root).trials
    except Exception:  # it is being made
        return False
    return any(trial.number > 2 for trial in trials)
