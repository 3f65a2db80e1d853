"""Searches whose trials wait for a file after two steps, wherever they run, and what is left of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from hpo.paths import ExperimentPaths
from hpo.results_file import STEP
from tests.e2e.test_resume import reports, study_of, the_paths, trials, wait_for, wait_until

NUM_STEPS = 5
# after two steps each trial waits for a file
CODE = f"""
import time
from pathlib import Path

def run(trial, x):
    state = trial.restore() or {{"step": 0}}
    deadline = time.monotonic() + 150.0
    for step in range(state["step"] + 1, {NUM_STEPS} + 1):
        while step > 2 and not Path("go").exists() and time.monotonic() < deadline:
            if trial.will_lose():
                return None
            if trial.must_leave():
                trial.save({{"step": step - 1}}, step - 1)
                return None
            time.sleep(0.01)
        trial.report({{"score": x + step}}, step)
"""
SEARCH = (
    *("+experiment=mine", "--multirun", "total_trials=2", "concurrent_trials=2"),
    *("+task.x=interval(0,1)", "hydra/sweeper/sampler=random", "retry_delay_s=0"),
)


def go_on(folder: Path) -> None:
    (folder / "go").touch()


def wait_for_reports(process: subprocess.Popen[str], folder: Path, num_trials: int = 2) -> None:
    """Until all trials have reported twice, and wait."""
    wait_for(process, f" {num_trials} running")
    wait_until(process, lambda: len(reports(the_paths(folder))) >= 2 * num_trials)


def assert_whole(paths: ExperimentPaths, *, num_attempts: int) -> None:
    """Each trial is complete in both databases and its directory, without a gap."""
    steps = list(range(1, NUM_STEPS + 1))
    for number, trial_id, state, attempt in trials(paths, "number, trial_id, state, attempt"):
        assert (state, attempt) == ("COMPLETE", num_attempts)
        records = json.loads(paths.trial(str(trial_id)).results.read_text())
        assert [record[STEP] for record in records] == steps
        assert [step for of, step, _ in reports(paths) if of == number] == steps
    known = study_of(paths).trials
    assert [list(trial.intermediate_values) for trial in known] == [steps] * len(known)
