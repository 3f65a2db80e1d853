"""How a search ends: by its budgets, or since its trials fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import Run, run_hpo, run_hpo_in_process

TASKS = """
import signal, time


def steps(trial, x, y):
    for step in range(1, 4000):
        trial.report({"loss": x}, step)
        if trial.should_stop():
            return None
        time.sleep(0.01)


def hang(trial, x, y):
    if trial.number == 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            try:
                time.sleep(60)
            except Exception:
                pass
    return {"loss": x}


def slow(trial, x, y):
    time.sleep(60 if trial.number == 1 else 0)
    return {"loss": x}


def broken(trial, x, y):
    raise ValueError(f"no such thing as {x}")


def sometimes(trial, x, y):
    if trial.number % 3:
        raise ValueError(f"no such thing as {x}")
    return {"loss": x}


def same(trial, x, y):
    return {"loss": 1.0}


def nan(trial, x, y):
    trial.report({"loss": float("nan")}, 1)
    return {"loss": float("nan")}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[tool.hpo]\nallow_targets = ["mytasks.*"]\n')
    (tmp_path / "mytasks.py").write_text(TASKS)
    return tmp_path


@pytest.fixture
def search_in_process(project: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """As `search`, where it does not matter what runs the trials."""
    return lambda *arguments: run_hpo_in_process(
        project, capfd, *searching(*arguments), "hydra/launcher=in_process"
    )


def search(project: Path, *arguments: str) -> Run:
    return run_hpo(project, *searching(*arguments))


def searching(task: str, *arguments: str) -> tuple[str, ...]:
    return (
        *("+experiment=noop", "--multirun", f"task._target_=mytasks.{task}", "search_space=none"),
        *("++task.x=interval(0,1)", "try_defaults_first=false", "hydra/sweeper/sampler=random", *arguments),
    )


def test_trials_that_run_when_the_time_is_over_are_kept_to_be_continued(project: Path) -> None:
    run = search(project, "steps", "timeout_s=5", "total_trials=5")

    assert run.status == 1, run.stdout
    assert run.trials("state") == [("WAITING",), ("WAITING",)]
    assert "timeout_s=5 is over" in run.stdout
    assert "2 waiting" in run.stdout
    with closing(sqlite3.connect(run.paths.study_db)) as study:
        assert study.execute("SELECT DISTINCT state FROM trials").fetchall() == [("RUNNING",)]


SLOW = ("slow", "trial_timeout_s=1", "total_trials=4")


def test_a_trial_that_takes_too_long_fails_with_that_reason_and_the_search_goes_on(project: Path) -> None:
    assert_over(search(project, *SLOW))


@pytest.mark.parametrize("launcher", ["in_process", "basic"])
def test_so_does_one_in_the_schedulers_process(
    project: Path, capfd: pytest.CaptureFixture[str], launcher: str
) -> None:
    assert_over(run_hpo_in_process(project, capfd, *searching(*SLOW), f"hydra/launcher={launcher}"))


def test_a_trial_that_nothing_stops_is_killed(project: Path) -> None:
    assert_over(search(project, "hang", "trial_timeout_s=1", "total_trials=4"))


def assert_over(run: Run) -> None:
    assert run.status == 0, run.stdout + run.stderr
    states = run.trials("state, reason")
    assert [state for state, _ in states] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert "trial_timeout_s=1 is over" in states[1][1]


def test_a_search_ends_when_its_target_is_reached(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = run_hpo_in_process(
        *(tmp_path, capfd, "+experiment=quadratic", "--multirun", "target_value=5", "hydra/launcher=in_process"),
    )

    assert target.status == 0
    assert target.trials("state") == [("COMPLETE",)]
    assert "trial 0 has reached target_value=5: loss is 5" in target.stdout


def test_a_search_ends_when_trials_no_longer_improve_on_the_best(search_in_process: Callable[..., Run]) -> None:
    run = search_in_process("same", "max_stale_trials=3", "concurrent_trials=1", "total_trials=20")

    assert run.status == 0
    assert run.trials("state") == [("COMPLETE",)] * 4
    assert "the last 3 trials have not improved on the best (max_stale_trials)" in run.stdout


def test_first_trials_that_all_fail_in_one_way_end_the_search_and_the_error_is_shown_once(
    search_in_process: Callable[..., Run],
) -> None:
    run = search_in_process("broken", "total_trials=50", "concurrent_trials=1")

    assert run.status == 1
    assert [state for (state,) in run.trials("state")] == ["FAIL"] * 3
    assert run.stdout.count("Traceback (most recent call last)") == 1
    assert "the first 3 trials all failed in the same way (fail_fast_trials)" in run.stdout
    assert "mytasks.py" in run.stdout


def test_too_many_failures_end_the_search(search_in_process: Callable[..., Run]) -> None:
    run = search_in_process(
        "sometimes",
        *("max_failure_rate=0.5", "failure_window=5", "total_trials=50", "concurrent_trials=1"),
    )

    assert run.status == 0, "a trial completed"
    assert len(run.trials("state")) == 5
    assert "of the last 5 trials failed, more than max_failure_rate=0.5" in run.stdout


def test_trials_without_a_finite_value_fail_with_that_reason_and_do_not_end_the_search(
    search_in_process: Callable[..., Run],
) -> None:
    run = search_in_process("nan", "total_trials=5", "pruner=median")

    assert run.status == 1
    assert run.trials("state, reason") == [("FAIL", "loss is nan, which is not finite")] * 5


def test_limits_that_only_a_search_has_are_nothing_to_a_single_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_hpo_in_process(
        tmp_path, capfd, "+experiment=quadratic", "max_stale_trials=500", "target_value=1", "enqueue=none.csv"
    )

    assert run.status == 0, run.stderr
    assert run.trials("state") == [("COMPLETE",)]


def test_budgets_that_contradict_each_other_are_errors_before_anything_starts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_hpo_in_process(
        tmp_path, capfd, "+experiment=quadratic", "--multirun", "timeout_s=5", "trial_timeout_s=6"
    )

    assert run.status == 2
    assert "trial_timeout_s=6.0 is longer than timeout_s=5.0 of the search" in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.experiment_dir.exists()
