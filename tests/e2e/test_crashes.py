"""What processes that were killed leave: in folders of checkpoints, in batches, and before there was anything."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hpo.paths import ExperimentPaths, TrialPaths
from tests.e2e.conftest import Run, run_hpo, run_hpo_in_process
from tests.e2e.test_resume import python, reports, running, study_of, the_paths, trials, wait_for

NUM_KEPT = 2
CHECKPOINTS = """
def run(trial, kept):
    state = trial.restore() or {"step": 0}
    for step in range(state["step"] + 1, 21):
        trial.report({"score": float(step)}, step)
        trial.save({"step": step}, step, best=True)
        for folder, most in ((trial.dir.checkpoints, kept), (trial.dir.best_checkpoints, 1)):
            there = sorted(path.name for path in folder.iterdir())
            if len(there) > most:
                raise ValueError(f"{folder.name}: {there}")
"""
SEARCH = (
    *("+experiment=mine", "--multirun", "total_trials=1", f"keep_n_checkpoints={NUM_KEPT}", "max_retries=20"),
    *(f"+task.kept={NUM_KEPT}", "hydra.launcher.preload=[torch]", "retry_delay_s=0", "concurrent_trials=1"),
)
DEATHS = (
    *("checkpoint_named:3", "checkpoint_half_written:2", "checkpoint_unnamed:2", "checkpoint_best_named:2"),
    *("checkpoint_named:2", "checkpoint_named", "checkpoint_half_written:3", "checkpoint_best_named"),
)


@pytest.fixture
def killed(
    tmp_path: Path, project: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Run, TrialPaths]]:
    """`killed(faults, *overrides)`: a search of one trial that dies at these points, all of which are reached."""
    project(CHECKPOINTS)
    marks = tmp_path / "marks"
    marks.mkdir()

    def search(faults: tuple[str, ...], *overrides: str) -> tuple[Run, TrialPaths]:
        monkeypatch.setenv("HPO_FAULT", ",".join(faults))
        monkeypatch.setenv("HPO_FAULT_MARKS", str(marks))
        run = run_hpo(tmp_path, *SEARCH, *overrides)
        assert {mark.name for mark in marks.iterdir()} == set(faults), run.stdout + run.stderr
        ((trial_id,),) = run.trials("trial_id")
        return run, run.paths.trial(str(trial_id))

    return search


def test_no_more_checkpoints_are_kept_than_wanted_however_often_a_trial_is_killed_in_one(
    killed: Callable[..., tuple[Run, TrialPaths]],
) -> None:
    run, trial = killed(DEATHS)

    assert run.trials("state, attempt, reason") == [("COMPLETE", len(DEATHS) + 1, None)], run.stdout
    assert sorted(trial.checkpoints.iterdir()) == [trial.checkpoint(19), trial.checkpoint(20)]
    assert list(trial.best_checkpoints.iterdir()) == [trial.best_checkpoint(20)]
    for path in trial.root.rglob("*.pt"):
        assert torch.load(path)["step"] in (19, 20)
    assert not trial.temporary


def test_a_trial_that_died_for_good_in_a_checkpoint_leaves_no_half_of_it(
    killed: Callable[..., tuple[Run, TrialPaths]],
) -> None:
    run, trial = killed(("checkpoint_half_written:5",), "max_retries=0", "num_replicates=2")

    assert (run.status, run.trials("state")) == (1, [("FAIL",)])
    assert not list(trial.root.rglob("*.tmp"))
    own = trial.replicate(0)
    assert sorted(own.checkpoints.iterdir()) == [own.checkpoint(3), own.checkpoint(4)]


BATCHES = """
import os, time

def run(trial, x):
    for step in (1, 2, 3):
        trial.report({"score": float(x * step)}, step)
        if x == 1 and step == 2 and "HPO_TEST_WAITS" in os.environ:
            print("at work", flush=True)
            while not trial.must_leave():
                time.sleep(0.01)
            return
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_search_in_batches_that_was_ended_goes_on(
    tmp_path: Path, project: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    project(BATCHES)
    monkeypatch.setenv("HPO_TEST_WAITS", "1")
    search = ("+experiment=mine", "--multirun", "+task.x=range(0,5)", "search_algo=grid", "total_trials=5")
    with running(tmp_path, *search, "hydra/launcher=basic", "concurrent_trials=3") as process:
        wait_for(process, "at work")
        process.send_signal(number)
        said = process.communicate(timeout=60)[0]
        status = process.returncode
    monkeypatch.delenv("HPO_TEST_WAITS")
    paths = the_paths(tmp_path)
    if number is signal.SIGTERM:
        assert status == 75, said
        assert [state for _, state in trials(paths)] == ["COMPLETE", "WAITING", "WAITING"]
        assert f"continue it: python -m hpo.resume {paths.root}" in said

    done = python(tmp_path, "hpo.resume", str(paths.root))

    assert done.returncode == 0, done.stdout + done.stderr
    # of trial 2 there was no attempt yet
    assert trials(paths, "state, attempt, json_extract(metrics, '$.score')") == [
        ("COMPLETE", 2 if x == 1 else 1, 3.0 * x) for x in range(5)
    ]
    assert [row[:2] for row in reports(paths)] == [(trial, step) for trial in range(5) for step in (1, 2, 3)]
    assert [trial.value for trial in study_of(paths).trials] == [3.0 * x for x in range(5)]


def test_a_directory_without_a_configuration_is_passed_over_and_told(
    tmp_path: Path,
    project: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    project("def run(trial, x):\n    return {'score': x}\n")
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv("HPO_FAULT", "file_half_written")
    monkeypatch.setenv("HPO_FAULT_MARKS", str(tmp_path / "marks"))
    grid = ("search_algo=grid", "+task.x=choice(1,2)", "total_trials=2")
    search = ("+experiment=mine", "--multirun", *grid, "resume=true")
    assert run_hpo(tmp_path, *search).status == -signal.SIGKILL
    unborn = the_paths(tmp_path)
    assert not unborn.config.exists()

    runs = [run_hpo_in_process(tmp_path, capfd, *search, "hydra/launcher=basic") for _ in range(2)]

    assert [run.status for run in runs] == [0, 0], runs
    (paths,) = (ExperimentPaths.of(root) for root in unborn.experiment_dir.iterdir() if root != unborn.root)
    assert [state for _, state in trials(paths)] == ["COMPLETE", "COMPLETE"]
    assert f"{unborn.root} is passed over" in runs[0].stdout
    assert f"experiment {paths.experiment_id} continues" in runs[1].stdout
    assert "is passed over" not in runs[1].stdout
