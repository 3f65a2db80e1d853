"""What whole searches promise, whatever launcher runs their trials: inherited by the tests of each launcher."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from hpo.paths import ExperimentPaths, TrialPaths
from hpo.results_file import STEP
from tests.e2e.conftest import run_hpo
from tests.e2e.test_resume import python, reports, running, study_of, the_paths, trials, wait_for, wait_until
from tests.launchers.waiting_searches import CODE, NUM_STEPS, assert_whole, go_on
from tests.launchers.waiting_searches import SEARCH as WAITING
from tests.projects import make_project

# each value of x is a way to end
EVERYTHING = """
import time

def run(trial, x):
    state = trial.restore() or {"step": 0}
    for step in range(state["step"] + 1, 6):
        trial.report({"score": -1.0 if x == 1 else 10.0 * x + step}, step)
        trial.save({"step": step}, step)
        deadline = time.monotonic() + 60.0
        while x == 1 and not trial.will_lose() and time.monotonic() < deadline:
            time.sleep(0.01)
        if trial.should_stop():
            return None
        if x == 2:
            raise ValueError("two is too much")
        if x == 3 and step == 2 and not state["step"]:
            raise TimeoutError("gone for a moment")
"""
ENDS = {
    0: ("COMPLETE", 1, None),
    1: ("PRUNED_POOR_PERFORMANCE", 1, "stopped by the pruner"),
    2: ("FAIL", 1, "ValueError: two is too much"),
    3: ("COMPLETE", 2, None),
}


class SearchContract:
    launcher: tuple[str, ...]
    concurrency = 2

    @pytest.fixture
    def options(self) -> tuple[str, ...]:
        """What the command is given for this launcher."""
        return (*self.launcher, f"concurrent_trials={self.concurrency}", "retry_delay_s=0")

    def assert_nothing_runs(self) -> None:
        """Nothing is left of what ran trials; told by the cluster where there is one."""

    def test_each_way_to_end_is_in_the_directory_and_in_both_databases(
        self, tmp_path: Path, options: tuple[str, ...]
    ) -> None:
        make_project(tmp_path, EVERYTHING)
        run = run_hpo(
            tmp_path,
            *("+experiment=mine", "--multirun", "+task.x=choice(0,1,2,3)", "search_algo=grid", *options),
            *("pruner=threshold", "+pruner.lower=0", "try_defaults_first=false"),
        )
        assert run.status == 0, run.stdout + run.stderr

        rows = {_x(row[0]): row[1:] for row in run.trials("params, state, attempt, reason, number")}
        assert {x: row[:2] for x, row in rows.items()} == {x: end[:2] for x, end in ENDS.items()}
        for x, (_, _, reason) in ENDS.items():
            assert (rows[x][2] or "").startswith(reason or ""), rows[x]
        study = {trial.number: trial for trial in study_of(run.paths).trials}
        shown = {"COMPLETE": "COMPLETE", "PRUNED_POOR_PERFORMANCE": "PRUNED", "FAIL": "FAIL"}
        assert {x: study[row[3]].state.name for x, row in rows.items()} == {
            x: shown[state] for x, (state, _, _) in ENDS.items()
        }
        assert study[rows[3][3]].value == 30.0 + NUM_STEPS
        self._assert_laid_out(run.paths)
        log = run.paths.log.read_text()
        assert "TimeoutError: gone for a moment" in log
        self.assert_nothing_runs()

    def _assert_laid_out(self, paths: ExperimentPaths) -> None:
        by_x = {
            _x(params): TrialPaths(paths.root / str(trial_id))
            for params, trial_id in trials(paths, "params, trial_id")
        }
        for trial in by_x.values():
            names = {path.name for path in trial.root.iterdir()}
            assert {
                *("best_checkpoints", "checkpoints", "dashboard", "config.yaml"),
                *("metadata.json", "results.json", "train.log"),
            } <= names
        steps = {
            x: [record[STEP] for record in json.loads(trial.results.read_text())] for x, trial in by_x.items()
        }
        assert steps[0] == steps[3] == list(range(1, NUM_STEPS + 1))
        assert steps[2] == [1]
        assert "ValueError: two is too much" in by_x[2].log.read_text()
        assert {path.name for path in paths.root.iterdir() if path.is_file()} >= {
            *(paths.config.name, paths.log.name, paths.state_db.name, paths.study_db.name, paths.best_trial.name),
        }

    def test_ctrl_c_lets_trials_leave_with_a_checkpoint_and_they_go_on_from_it(
        self, tmp_path: Path, options: tuple[str, ...]
    ) -> None:
        make_project(tmp_path, CODE)
        with running(tmp_path, *WAITING, *options) as process:
            self._wait_for_steps(process, tmp_path)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[0]
        assert process.returncode == 75, said
        assert "hpo.resume" in said
        self.assert_nothing_runs()
        paths = the_paths(tmp_path)
        begun = [row for row in trials(paths, "state, reason, started_at") if row[2] is not None]
        assert [row[:2] for row in begun] == [("WAITING", "interrupted, to be continued")] * self.concurrency

        go_on(tmp_path)
        resumed = python(tmp_path, "hpo.resume", str(paths.root))

        assert resumed.returncode == 0, resumed.stderr
        if self.concurrency == 2:
            assert_whole(paths, num_attempts=2)
        assert {state for (state,) in trials(paths, "state")} == {"COMPLETE"}
        assert len(reports(paths)) == 2 * NUM_STEPS

    def _wait_for_steps(self, process: subprocess.Popen[str], folder: Path) -> None:
        """Until all trials that run have evaluated twice, and wait."""
        wait_for(process, f" {self.concurrency} running")
        root = the_paths(folder).root
        wait_until(process, lambda: sum(_num_records(trial) == 2 for trial in root.glob("*/")) >= self.concurrency)

    def test_bad_input_is_one_message_before_anything_is_on_disk(
        self, tmp_path: Path, options: tuple[str, ...]
    ) -> None:
        run = run_hpo(tmp_path, "+experiment=quadratic", "--multirun", *options, "task.z=interval(0,1)")

        assert run.status == 2
        assert run.stderr.startswith("hpo: ")
        assert "task.z" in run.stderr
        assert "Traceback" not in run.stderr
        assert not run.experiment_dir.exists()


def _x(params: object) -> int:
    (value,) = json.loads(str(params)).values()
    return int(value)


def _num_records(trial: Path) -> int:
    try:
        return len(json.loads(TrialPaths(trial).results.read_text()))
    except (OSError, ValueError):  # not there yet, or just being appended to
        return 0
