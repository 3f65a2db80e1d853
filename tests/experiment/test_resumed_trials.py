"""What the experiment makes of a trial that goes on in a further attempt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from hpo.experiment.experiment import Experiment
from hpo.paths import TrialPaths
from hpo.records import Ended, ReplicateEnded, Report, Resumed, Started, State, TrialSpec
from hpo.trial.metadata import Metadata
from hpo.trial.outcome import OUTCOME, read
from tests.conftest import new_experiment
from tests.experiment.conftest import query

SPEC = TrialSpec(7, params={"task.x": 0.5})


@pytest.fixture
def experiment(quadratic: Callable[..., DictConfig]) -> Iterator[Experiment]:
    experiment = new_experiment(quadratic())
    experiment.prepare(SPEC)
    yield experiment
    experiment.close(State.COMPLETE)


@pytest.fixture
def of_replicates(quadratic: Callable[..., DictConfig]) -> Iterator[Experiment]:
    experiment = new_experiment(quadratic(num_replicates=2))
    experiment.prepare(SPEC)
    yield experiment
    experiment.close(State.COMPLETE)


def reports_of(experiment: Experiment) -> list[tuple[Any, ...]]:
    experiment.flush()
    return query(experiment, "SELECT replicate, step, metrics FROM reports ORDER BY replicate, step, id")


def started(attempt: int) -> Started:
    return Started(7, pid=attempt, host="h", device="cpu", config="{}", attempt=attempt)


def leave(paths: TrialPaths, steps: list[int], cut: int = 0) -> None:
    """A results.json as a trial has cut it, without its last `cut` bytes."""
    paths.root.mkdir(exist_ok=True)
    records = [{"current_iteration": step, "loss": float(step)} for step in steps]
    text = json.dumps(records)
    paths.results.write_text(text[: len(text) - cut])


def test_reports_beyond_are_removed_also_those_that_wait_and_missing_ones_are_added(
    experiment: Experiment,
) -> None:
    experiment.record(started(1))
    experiment.record(Report(7, 2, {"loss": 2.0}))
    experiment.flush()
    experiment.record(Report(7, 5, {"loss": 5.0}))  # waits
    leave(experiment.trial(7), [1, 2, 3, 4])

    experiment.record(started(2))
    experiment.record(Resumed(7, attempt=2, step=3))
    experiment.record(Report(7, 4, {"loss": 40.0}))

    assert [(step, json.loads(metrics)["loss"]) for _, step, metrics in reports_of(experiment)] == [
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
        (4, 40.0),
    ]
    line = f"trial {experiment.trial(7).root.name} continues from iteration 3 (attempt 2)"
    assert line in experiment.paths.log.read_text()


def test_what_is_added_is_what_was_reported_and_no_mere_record(experiment: Experiment) -> None:
    paths = experiment.trial(7)
    records = [{"current_iteration": 1, "lr": 0.1}, {"current_iteration": 1, "loss": 1.0}, {"loss": 2.0}]
    paths.results.write_text(json.dumps(records))

    experiment.record(Resumed(7, attempt=2, step=3))

    assert reports_of(experiment) == [(0, 1, '{"loss": 1.0}')]


def test_a_trial_that_begins_again_has_no_report_left(experiment: Experiment) -> None:
    experiment.record(Report(7, 1, {"loss": 1.0}))

    experiment.record(Resumed(7, attempt=2, step=0))

    assert reports_of(experiment) == []


def test_each_replicate_keeps_its_own_reports(of_replicates: Experiment) -> None:
    for replicate in (0, 1):
        for step in (1, 2, 3):
            of_replicates.record(Report(7, step, {"loss": 1.0}, replicate=replicate))
    leave(of_replicates.trial(7).replicate(1), [1])

    of_replicates.record(Resumed(7, attempt=2, step=1, replicate=1))

    assert [row[:2] for row in reports_of(of_replicates)] == [(0, 1), (0, 2), (0, 3), (1, 1)]
    assert "replicate 1 continues from iteration 1 (attempt 2)" in of_replicates.paths.log.read_text()


def test_a_replicates_end_that_is_sent_again_replaces_its_row(of_replicates: Experiment) -> None:
    for attempt, state in ((1, State.WAITING), (2, State.COMPLETE)):
        of_replicates.record(started(attempt))
        of_replicates.record(ReplicateEnded(7, 0, 42, state, {"loss": float(attempt)}))
        of_replicates.record(ReplicateEnded(7, 1, 43, state, {"loss": float(attempt)}))

    assert query(of_replicates, "SELECT replicate, state, metrics FROM replicates ORDER BY replicate") == [
        (0, "COMPLETE", '{"loss": 2.0}'),
        (1, "COMPLETE", '{"loss": 2.0}'),
    ]
    assert of_replicates.progress.trial(7).num_replicates == 2


def test_a_row_has_its_attempt_and_nothing_of_the_one_before(experiment: Experiment) -> None:
    experiment.record(started(1))
    experiment.record(Ended(7, State.WAITING, {"loss": 3.0}, reason="stopped, to be continued"))
    experiment.record(started(2))

    columns = "state, attempt, pid, metrics, reason, ended_at"
    assert query(experiment, f"SELECT {columns} FROM trials") == [("RUNNING", 2, 2, None, None, None)]
    assert experiment.progress.trial(7).ended is None


@pytest.mark.parametrize("state", [State.FAIL, State.FAIL_RECOVERABLE])
def test_the_death_of_a_further_attempt_is_noted_in_place_of_the_end_before(
    experiment: Experiment, state: State
) -> None:
    paths = experiment.trial(7)
    experiment.record(Ended(7, State.FAIL_RECOVERABLE, reason="killed by SIGKILL"))
    first = read(7, paths, key=OUTCOME)

    death = Ended(7, state, reason="killed by SIGSEGV", time=2e9)
    experiment.record(death)
    experiment.record(death)

    last = read(7, paths, key=OUTCOME)
    assert first is not None
    assert last is not None
    assert (first.reason, last.reason, last.state) == ("killed by SIGKILL", "killed by SIGSEGV", state)
    assert paths.log.read_text().count("SIGSEGV") == 1


def test_an_end_that_the_trial_came_to_itself_is_left(experiment: Experiment) -> None:
    paths = experiment.trial(7)
    noted = {"state": "COMPLETE", "metrics": {"loss": 1.0}, "reason": None, "traceback": None}
    Metadata.of(paths).update(outcome={**noted, "ended_at": "2026-01-01T00:00:00.000+00:00"})

    experiment.record(Ended(7, State.FAIL, reason="its process was lost"))

    assert Metadata.of(paths)["outcome"]["state"] == "COMPLETE"
    assert not Path(paths.log).exists()
