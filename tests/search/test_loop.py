from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.pruners import ThresholdPruner
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from hpo.config import Duplicates
from hpo.errors import DiskError, HpoError, MisfitError, ObjectiveError
from hpo.experiment.experiment import Experiment
from hpo.records import Ended, Event, Obstacle, Report, State
from hpo.search.budget import Budget, Limits
from hpo.search.loop import Search as Loop
from hpo.search.points import num_points
from hpo.search.proposals import Proposals
from hpo.search.stream import Hear, Stream
from hpo.search.study import Study
from hpo.search.tree import SearchSpace
from tests.search.scripted_stream import ScriptedStream

SPACE = SearchSpace.of({"task.x": FloatDistribution(-5.0, 5.0)})

Search = Callable[..., Study]


@pytest.fixture
def experiment(open_experiment: Callable[..., Experiment]) -> Experiment:
    return open_experiment()


@pytest.fixture
def run(experiment: Experiment) -> Iterator[Search]:
    """`run(stream, total_trials=6)`: a search over one float; returns its study."""
    studies = []

    def of(
        stream: Stream,
        *,
        total_trials: int,
        concurrent_trials: int = 2,
        fixed: Any = (),
        space: Any = SPACE,
        planned: Any = (),
        duplicates: Duplicates = Duplicates.skip,
        limits: Limits | None = None,
    ) -> Study:
        study = Study(
            lambda number: RandomSampler(seed=number), space, experiment.objectives, experiment.paths.study_db
        )
        studies.append(study)
        Loop(
            study,
            stream,
            experiment,
            Proposals(study, planned, duplicates, num_points=num_points(space)),
            Budget(limits or Limits(), experiment.objectives),
            fixed=fixed,
            total_trials=total_trials,
            concurrent_trials=concurrent_trials,
        ).run()
        return study

    yield of
    for study in studies:
        study.close()


def loss(number: int) -> dict[str, float]:
    return {"loss": float(number)}


def test_a_freed_slot_is_filled_at_once_while_a_long_trial_goes_on(run: Search) -> None:
    stream = ScriptedStream(2, loss, durations={0: 4})

    run(stream, total_trials=6)

    assert isinstance(stream, Stream)
    assert stream.calls == [
        *("submit 0", "submit 1", "end 1", "submit 2", "end 2", "submit 3", "end 3", "submit 4"),
        *("end 0", "end 4", "submit 5", "end 5"),
    ]


@pytest.mark.parametrize(("capacity", "concurrent_trials", "most"), [(2, 5, 2), (5, 3, 3), (8, 8, 4)])
def test_no_more_trials_run_than_the_launcher_the_user_and_the_budget_allow(
    run: Search, capacity: int, concurrent_trials: int, most: int
) -> None:
    stream = ScriptedStream(capacity, loss)

    run(stream, total_trials=4, concurrent_trials=concurrent_trials)

    assert stream.most_running == most
    assert len(stream.submitted) == 4


def test_a_trial_is_composed_of_what_is_fixed_and_what_was_proposed(run: Search, experiment: Experiment) -> None:
    stream = ScriptedStream(1, loss)

    study = run(stream, total_trials=2, fixed=("random_seed=7",))

    for number, spec in enumerate(stream.submitted):
        x = study._study.trials[number].params["task.x"]
        assert spec.number == number
        assert spec.fixed == ("random_seed=7",)
        assert spec.params == {"task.x": x}
        assert spec.overrides == ("random_seed=7", f"task.x={x!r}")
        assert spec.subdir == experiment.progress.trial_id(number)
        assert (experiment.paths.root / str(spec.subdir)).is_dir()


def test_a_failed_trial_is_told_as_failed_and_the_search_goes_on(run: Search, experiment: Experiment) -> None:
    stream = ScriptedStream(2, lambda number: None if number == 1 else loss(number))

    study = run(stream, total_trials=4)

    states = [trial.state for trial in study._study.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert experiment.progress.counts() == "0 running, 0 waiting, 3 complete, 1 failed, 0 pruned"
    assert "FAIL after" in experiment.paths.log.read_text()
    assert "ValueError: no" in experiment.paths.log.read_text()


def test_every_report_reaches_the_study(run: Search) -> None:
    study = run(ScriptedStream(1, loss, num_reports=3), total_trials=2)

    assert [trial.intermediate_values for trial in study._study.trials] == [
        {1: 0.0, 2: 0.0, 3: 0.0},
        {1: 1.0, 2: 1.0, 3: 1.0},
    ]


@pytest.mark.parametrize("num_reports", [0, 1])
def test_a_missing_objective_ends_the_search_at_its_first_report_or_end(run: Search, num_reports: int) -> None:
    stream = ScriptedStream(2, lambda _: {"val_loss": 1.0, "f1": 0.5}, num_reports=num_reports)

    with pytest.raises(ObjectiveError, match=r"names loss, which no evaluation produces; there are: f1, val_loss"):
        run(stream, total_trials=10)

    assert len(stream.submitted) == 2


def test_a_trial_that_will_lose_is_told_to_stop_once(experiment: Experiment) -> None:
    pruner = ThresholdPruner(upper=1.5)
    study = Study(lambda number: RandomSampler(seed=number), SPACE, experiment.objectives, pruner=pruner)
    stream = ScriptedStream(2, loss, num_reports=3)

    Loop(
        study,
        stream,
        experiment,
        Proposals(study, (), Duplicates.skip),
        Budget(Limits(), experiment.objectives),
        fixed=(),
        total_trials=4,
        concurrent_trials=2,
    ).run()

    assert [call for call in stream.calls if "prune" in call] == ["prune 2", "prune 3"]


def test_a_budget_of_nothing_asks_for_nothing(run: Search) -> None:
    stream = ScriptedStream(2, loss)

    run(stream, total_trials=0)

    assert stream.calls == []


FEW = SearchSpace.of({"task.x": CategoricalDistribution([1.0, 2.0, 3.0])})


def test_what_is_planned_is_tried_first(run: Search) -> None:
    stream = ScriptedStream(1, loss)

    run(stream, total_trials=3, planned=[{"task.x": 4.5}, {"task.x": -4.5}])

    assert [spec.params["task.x"] for spec in stream.submitted[:2]] == [4.5, -4.5]
    assert len(stream.submitted) == 3


def test_nothing_is_run_twice_and_the_search_ends_when_the_space_is_exhausted(
    run: Search, experiment: Experiment
) -> None:
    stream = ScriptedStream(2, loss)

    study = run(stream, total_trials=10, space=FEW)

    assert sorted(spec.params["task.x"] for spec in stream.submitted) == [1.0, 2.0, 3.0]
    rejected = [trial for trial in study._study.trials if trial.state is TrialState.PRUNED]
    ran = {spec.params["task.x"]: spec.number for spec in stream.submitted}
    for trial in rejected:
        twin = ran[trial.params["task.x"]]
        assert trial.user_attrs == {"state": "PRUNED_DUPLICATE", "duplicate_of": twin}
    log = experiment.paths.log.read_text()
    assert "all 3 configurations of the search space are tried: it is exhausted" in log
    assert len([path for path in experiment.paths.root.iterdir() if path.is_dir()]) == 3


def test_a_search_ends_after_a_hundred_proposals_in_a_row_that_are_not_new(
    run: Search, experiment: Experiment
) -> None:
    stream = ScriptedStream(2, loss)
    # it has endless values to the eye, and one to the sampler
    tiny = SearchSpace.of({"task.x": FloatDistribution(1.0, 1.0)})

    run(stream, total_trials=10, space=tiny)

    assert [spec.params["task.x"] for spec in stream.submitted] == [1.0]
    log = experiment.paths.log.read_text()
    rejected = [line for line in log.splitlines() if "PRUNED_DUPLICATE: equal to trial 0: task.x=1.0" in line]
    assert [" INFO " in line for line in rejected] == [True] * 3 + [False] * 97, (
        "the terminal shows the first ones"
    )
    assert "more proposals in a row that are not run stand in mp.log alone" in log
    assert "the last 100 proposals were not new: the search space is exhausted" in log


def test_a_configuration_that_failed_may_be_tried_again(run: Search) -> None:
    stream = ScriptedStream(1, lambda number: None if number == 0 else loss(number))

    run(stream, total_trials=2, space=SearchSpace.of({"task.x": CategoricalDistribution([1.0])}))

    assert [spec.params for spec in stream.submitted] == [{"task.x": 1.0}, {"task.x": 1.0}]


def test_duplicates_run_where_the_user_wants_that(run: Search) -> None:
    stream = ScriptedStream(2, loss)

    run(stream, total_trials=5, space=FEW, duplicates=Duplicates.run)

    assert len(stream.submitted) == 5


def test_reused_values_are_told_to_the_study_and_nothing_is_run(run: Search, experiment: Experiment) -> None:
    stream = ScriptedStream(1, lambda _: {"loss": 0.25})

    study = run(
        stream,
        total_trials=2,
        space=SearchSpace.of({"task.x": FloatDistribution(1.0, 1.0)}),
        duplicates=Duplicates.reuse,
    )

    first, *reused = study._study.trials
    assert len(stream.submitted) == 1
    assert {(trial.state, trial.value) for trial in reused} == {(TrialState.COMPLETE, 0.25)}
    assert {trial.user_attrs["duplicate_of"] for trial in reused} == {first.number}
    assert experiment.progress.num_complete == 1, "a trial that was not run is not complete"


class EndlessReports(ScriptedStream):
    """Its trial reports without a pause until the study on disk has a report, as another process sees it."""

    def __init__(self, study: Path) -> None:
        super().__init__(1, loss)
        self._study = study
        self.is_on_disk = False

    def wait(self, hear: Hear, timeout_s: float | None = None) -> None:
        deadline = time.monotonic() + 20
        while not self.is_on_disk and time.monotonic() < deadline:
            hear(Report(0, 1, loss(0)))
            with closing(sqlite3.connect(self._study)) as reader:
                (count,) = reader.execute("SELECT count(*) FROM trial_intermediate_values").fetchone()
            self.is_on_disk = count > 0
        super().wait(hear, timeout_s)


def test_reports_are_on_disk_while_their_trial_goes_on(run: Search, experiment: Experiment) -> None:
    stream = EndlessReports(experiment.paths.study_db)

    run(stream, total_trials=1)

    assert stream.is_on_disk


def test_a_search_whose_budget_is_used_up_starts_nothing_more_and_pauses_what_runs(
    run: Search, experiment: Experiment
) -> None:
    stream = ScriptedStream(2, loss, durations={0: 9})

    run(stream, total_trials=9, limits=Limits(target_value=2.0))

    assert [call for call in stream.calls if "submit" in call] == ["submit 0", "submit 1"]
    assert "pause 0" in stream.calls
    assert (
        "the search ends; 1 still running, which the next evaluation ends: trial 1 has"
        in experiment.paths.log.read_text()
    )


class Obstructed(ScriptedStream):
    """The first trial meets an obstacle; one that is told to leave waits."""

    def __init__(self, obstacle: Obstacle) -> None:
        super().__init__(2, loss, durations={1: 3})
        self._obstacle = obstacle

    def _events(self, number: int) -> list[Event]:
        obstacle = self._obstacle if number == 0 else None
        return [Ended(number, State.WAITING, reason="as it is", obstacle=obstacle)]


@pytest.mark.parametrize(("obstacle", "error"), [(Obstacle.DISK, DiskError), (Obstacle.MISFIT, MisfitError)])
def test_what_every_trial_would_meet_ends_the_search_when_the_others_have_left(
    run: Search, obstacle: Obstacle, error: type[HpoError]
) -> None:
    stream = Obstructed(obstacle)

    with pytest.raises(error, match="as it is"):
        run(stream, total_trials=6)
    assert stream.calls == ["submit 0", "submit 1", "end 0", "leave 1", "end 1"]


def test_a_trial_whose_end_cannot_be_written_down_is_not_waited_for(
    run: Search, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(event: Event) -> None:
        if isinstance(event, Ended):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(experiment, "record", record)
    stream = ScriptedStream(1, loss)

    with pytest.raises(OSError, match="No space left"):
        run(stream, total_trials=1)
    assert stream.calls == ["submit 0", "end 0"]
