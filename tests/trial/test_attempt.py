"""One execution of a trial, in this process, into a real directory."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig

from hpo.config import Direction
from hpo.errors import TrialError
from hpo.paths import TrialPaths
from hpo.records import Ended, Report, Started, State, Stop
from hpo.trial import outcome
from hpo.trial.attempt import TEST_TASK, run_attempt
from hpo.trial.link import NullLink
from tests.trial.conftest import TASKS
from tests.trial.example_tasks import Spy
from tests.trial.links import Collecting

Make = Callable[..., DictConfig]


def noted(paths: TrialPaths) -> dict[str, Any]:
    outcome: dict[str, Any] = json.loads(paths.metadata.read_text())["outcome"]
    return outcome


def end_of(config: DictConfig, paths: TrialPaths, expected: type[Exception] = TrialError) -> Ended:
    """The end of a trial that fails, as its link hears it."""
    link = Collecting()
    with pytest.raises(expected):
        run_attempt(config, paths, link)
    end = link.events[-1]
    assert isinstance(end, Ended)
    assert sum(isinstance(event, Ended) for event in link.events) == 1
    return end


@pytest.mark.parametrize(
    ("kind", "metrics"),
    [("mapping", {"loss": 1.0, "f1": 0.5}), ("number", {"loss": 2.0}), ("numpy", {"loss": 3.0})],
)
def test_a_task_returns_a_mapping_of_metrics_or_one_number(
    config_of: Make, paths: TrialPaths, kind: str, metrics: Any
) -> None:
    ended = run_attempt(config_of("returns", kind=kind), paths, NullLink())

    assert (ended.number, ended.state, ended.metrics) == (3, State.COMPLETE, metrics)
    assert all(type(value) in (int, float) for value in ended.metrics.values())
    assert (noted(paths)["state"], noted(paths)["metrics"]) == ("COMPLETE", metrics)
    assert json.loads(paths.results.read_text()) == [metrics], "what was never reported is logged at the end"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("none", "returned None"),
        ("string", "returned 'good'"),
        ("list", "returned [1.0, 2.0]"),
        ("words", "metrics must be numbers, but were {'loss': 'low'}"),
    ],
)
def test_anything_else_is_a_failure_that_shows_what_it_was(
    config_of: Make, paths: TrialPaths, kind: str, reason: str
) -> None:
    end = end_of(config_of("returns", kind=kind), paths)

    assert end.state is State.FAIL
    assert reason in str(end.reason)
    assert noted(paths)["state"] == "FAIL"


@pytest.mark.parametrize(("kind", "reason"), [("nan", "loss is nan"), ("infinite", "loss is inf")])
def test_an_objective_that_is_not_finite_is_a_failure(
    config_of: Make, paths: TrialPaths, kind: str, reason: str
) -> None:
    end = end_of(config_of("returns", kind=kind), paths)

    assert end.state is State.FAIL
    assert end.reason == f"{reason}, which is not finite"


def test_a_number_is_no_answer_to_two_objectives(config_of: Make, paths: TrialPaths) -> None:
    two = {"optim_metrics": {"a": Direction.min, "b": Direction.max}}

    assert "one number for one objective" in str(end_of(config_of("returns", two, kind="number"), paths).reason)


def test_none_stands_for_the_best_of_what_was_reported(config_of: Make, paths: TrialPaths) -> None:
    link = Collecting()

    ended = run_attempt(config_of("reports", losses=[3.0, 1.0, 2.0]), paths, link)

    assert ended.metrics == {"loss": 1.0, "f1": 2.0}
    assert [type(event) for event in link.events] == [Started, Report, Report, Report, Ended]
    assert [(event.step, event.metrics["loss"]) for event in link.events if isinstance(event, Report)] == [
        (1, 3.0),
        (2, 1.0),
        (3, 2.0),
    ]
    metadata = json.loads(paths.metadata.read_text())
    assert (metadata["best_iteration"], metadata["log_iteration"]) == (2, 3)


def test_what_a_task_raises_is_its_failure_and_is_raised_again(config_of: Make, paths: TrialPaths) -> None:
    end = end_of(config_of("raises"), paths, ValueError)

    assert end.state is State.FAIL
    assert end.reason == "ValueError: first line"
    assert "in raises" in str(end.traceback)
    assert noted(paths)["traceback"] == end.traceback
    log = paths.log.read_text()
    assert "Traceback (most recent call last)" in log
    assert "second line" in log
    assert len(json.loads(paths.results.read_text())) == 1, "what it had reported stays"


def test_a_task_that_exits_has_failed_and_its_status_is_told(config_of: Make, paths: TrialPaths) -> None:
    end = end_of(config_of("ends_its_process"), paths)

    assert end.reason == "the task ended its process: SystemExit(3)"
    assert noted(paths)["state"] == "FAIL"


def test_an_interruption_is_no_outcome(config_of: Make, paths: TrialPaths) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_attempt(config_of("is_interrupted"), paths, NullLink())

    assert "outcome" not in json.loads(paths.metadata.read_text())


def test_a_task_that_does_not_exist_and_a_recorder_that_cannot_be_built_are_failures(
    config_of: Make, paths: TrialPaths
) -> None:
    assert "no_such_task" in str(end_of(config_of("no_such_task"), paths, Exception).traceback)
    broken = {"recorder": {"mine": {"_target_": f"{TASKS}.Broken"}}}
    assert "no such sink" in str(end_of(config_of("returns", broken, kind="number"), paths, Exception).traceback)


def test_the_trials_configuration_is_on_disk_before_it_starts_and_goes_up(
    config_of: Make, paths: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    link = Collecting()

    run_attempt(config_of("returns", {"notes": "${oc.env:TOKEN}"}, kind="number"), paths, link)

    started = link.events[0]
    assert isinstance(started, Started)
    assert (started.number, started.pid) == (3, os.getpid())
    written = yaml.safe_load(paths.config.read_text())
    assert json.loads(str(started.config)) == written
    assert written["task"] == {"_target_": f"{TASKS}.returns", "kind": "number"}
    assert written["notes"] == "${oc.env:TOKEN}"
    assert not [path for path in paths.root.iterdir() if path.is_file() and b"hunter2" in path.read_bytes()]


def test_everything_that_is_logged_while_it_runs_is_in_train_log(config_of: Make, paths: TrialPaths) -> None:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level

    run_attempt(config_of("logs"), paths, NullLink())

    assert "INFO by the way: ä" in paths.log.read_text(encoding="utf-8")
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)


@pytest.mark.parametrize(
    ("why", "state", "reason"),
    [
        (Stop.PRUNE, State.PRUNED_POOR_PERFORMANCE, "stopped by the pruner"),
        (Stop.PAUSE, State.WAITING, "stopped, to be continued"),
        (Stop.LEAVE, State.WAITING, "interrupted, to be continued"),
    ],
)
def test_a_trial_that_obeys_is_pruned_or_waits_with_its_best_metrics(
    config_of: Make, paths: TrialPaths, why: Stop, state: State, reason: str
) -> None:
    link = Collecting(stop_after=4, why=why)  # its start and three reports

    ended = run_attempt(config_of("stops_when_told"), paths, link)

    assert (ended.state, ended.reason) == (state, reason)
    assert ended.metrics == {"loss": 1 / 3}
    assert noted(paths)["state"] == state
    assert len(json.loads(paths.results.read_text())) == 3


@pytest.mark.parametrize("why", [None, *Stop])
def test_a_trial_must_leave_when_it_is_told_so_and_for_no_other_reason(
    config_of: Make, paths: TrialPaths, why: Stop | None
) -> None:
    link = Collecting(stop_after=1 if why else math.inf, why=why or Stop.PAUSE)

    ended = run_attempt(config_of("leaves_when_it_must"), paths, link)

    assert ended.state is (State.WAITING if why is Stop.LEAVE else State.COMPLETE)
    assert ended.metrics == {"loss": 1.0}


def test_threads_are_limited_before_the_task_runs(
    config_of: Make, paths: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "99")

    assert run_attempt(config_of("threads", {"threads_per_trial": 1}), paths, NullLink()).metrics == {"loss": 1.0}


def test_every_recorder_gets_each_record_and_the_final_metrics(config_of: Make, paths: TrialPaths) -> None:
    Spy.seen.clear()
    recorder = {"mine": {"_target_": f"{TASKS}.Spy"}, "left_out": None}

    run_attempt(config_of("reports", {"recorder": recorder}, losses=[2.0, 1.0]), paths, NullLink())

    info, *seen = Spy.seen
    assert (info.number, info.trial_id, info.objectives) == (3, "0003_abcd", ("loss",))
    assert (info.params, info.directory) == ({"task.x": 1.0}, str(paths.root))
    assert info.config["task"]["losses"] == [2.0, 1.0]
    assert seen == [
        {"current_iteration": 1, "loss": 2.0, "f1": 1.0},
        {"current_iteration": 2, "loss": 1.0, "f1": 2.0},
        ("close", {"loss": 1.0, "f1": 2.0}),
    ]


def test_what_is_to_be_looked_at_goes_to_the_recorders_that_show_it(config_of: Make, paths: TrialPaths) -> None:
    Spy.seen.clear()
    recorder = {kind: {"_target_": f"{TASKS}.{kind}"} for kind in ("Spy", "VisualSpy")}

    run_attempt(config_of("shows", {"recorder": recorder}), paths, NullLink())

    assert Spy.seen[2:4] == [(["weights/fc1"], 5), ("worst", (1, 2, 2, 1), 5)]
    assert sum(isinstance(item, tuple) and item[0] == "worst" for item in Spy.seen) == 1


def test_recorders_are_closed_when_the_task_raises(config_of: Make, paths: TrialPaths) -> None:
    Spy.seen.clear()

    end_of(config_of("raises", {"recorder": {"mine": {"_target_": f"{TASKS}.Spy"}}}), paths, ValueError)

    assert Spy.seen[-1] == ("close", {})


def test_every_recorder_is_closed_though_one_fails_to(config_of: Make, paths: TrialPaths) -> None:
    Spy.seen.clear()
    recorder = {kind: {"_target_": f"{TASKS}.{kind}"} for kind in ("BrokenAtTheEnd", "Spy")}

    ended = end_of(config_of("returns", {"recorder": recorder}, kind="number"), paths, OSError)

    assert ended.reason is not None
    assert "the disk is full" in ended.reason
    assert Spy.seen[-1] == ("close", {"loss": 2.0})


def test_the_test_on_held_back_data_leaves_the_trials_own_outcome(config_of: Make, paths: TrialPaths) -> None:
    test = {"test_task": {"_target_": f"{TASKS}.returns", "kind": "mapping"}}
    run_attempt(config_of("returns", test, kind="number"), paths, NullLink())
    before = (paths.results.read_text(), paths.config.read_text())
    link = Collecting()

    ended = run_attempt(config_of("returns", {**test, "run_task": TEST_TASK}, kind="number"), paths, link)

    assert ended.metrics == {"loss": 1.0, "f1": 0.5}
    assert link.events == [ended]
    assert noted(paths)["metrics"] == {"loss": 2.0}
    assert outcome.read(3, paths, key=outcome.TEST_OUTCOME) is not None
    assert (paths.results.read_text(), paths.config.read_text()) == before


def test_a_task_saves_and_restores_through_its_trial(config_of: Make, paths: TrialPaths) -> None:
    values = {"keep_n_checkpoints": 2}
    first = run_attempt(config_of("resumes", values, until=3), paths, NullLink())
    second = run_attempt(config_of("resumes", values, until=5), paths, NullLink())

    assert (first.metrics["loss"], second.metrics["loss"]) == (0.0, 3.0)
    assert json.loads(paths.metadata.read_text())["checkpoint_iteration"] == 5
    assert {path.name for path in paths.checkpoints.iterdir()} == {"checkpoint_4.pt", "checkpoint_5.pt"}
    assert [path.name for path in paths.best_checkpoints.iterdir()] == ["best_checkpoint_1.pt"]


def test_an_outcome_reads_back_as_it_ended(config_of: Make, paths: TrialPaths) -> None:
    assert outcome.read(3, paths, key=outcome.OUTCOME) is None
    end = end_of(config_of("raises"), paths, ValueError)

    back = outcome.read(3, paths, key=outcome.OUTCOME)

    assert back is not None
    assert (back.state, back.reason, back.traceback) == (end.state, end.reason, end.traceback)
    assert back.time == pytest.approx(end.time, abs=0.001)


def test_a_trial_that_is_told_to_stop_before_it_starts_does_nothing(config_of: Make, paths: TrialPaths) -> None:
    link = Collecting(stop_after=0, why=Stop.PAUSE)
    ended = run_attempt(config_of("raises"), paths, link)

    assert (ended.state, ended.reason) == (State.WAITING, "the search ended before it started")
    assert link.events == [ended]
    assert not paths.config.exists()
