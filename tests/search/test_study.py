"""The study on disk is the one in memory, for whoever opens it with Optuna's own means."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from hpo.config import Direction
from hpo.objectives import Objective
from hpo.records import State
from hpo.search.study import Study
from hpo.search.tree import SearchSpace
from hpo.stored import SAMPLERS

LOSS = Objective("loss", Direction.min)
ACCURACY = Objective("accuracy", Direction.max)
SPACE = SearchSpace.of(
    {
        "lr": FloatDistribution(1e-4, 1e-1, log=True),
        "step": FloatDistribution(0.0, 1.0, step=0.25),
        "n": IntDistribution(1, 1000, log=True),
        "mixed": CategoricalDistribution([None, "null", "1", 1, 0.5, "ä,'"]),
    }
)

Make = Callable[..., Study]
Load = Callable[[], optuna.Study]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.db"


@pytest.fixture
def make(path: Path) -> Iterator[Make]:
    studies: list[Study] = []

    def of(sampler: BaseSampler | None = None, space: Any = SPACE, objectives: Any = (LOSS,)) -> Study:
        studies.append(
            Study(lambda number: sampler or RandomSampler(seed=number), space, objectives, path, "mine")
        )
        return studies[-1]

    yield of
    for study in studies:
        study.close()


@pytest.fixture
def load(path: Path) -> Iterator[Load]:
    """Opens the file as a user would, by its URL."""
    storages = []

    def of() -> optuna.Study:
        storages.append(optuna.storages.RDBStorage(f"sqlite:///{path}"))
        return optuna.load_study(study_name="mine", storage=storages[-1])

    yield of
    for storage in storages:
        storage.remove_session()
        storage.engine.dispose()


def contents(trial: FrozenTrial) -> dict[str, Any]:
    """All of a trial that a user can read, values with their types."""
    return {
        "number": trial.number,
        "state": trial.state,
        "params": {key: (type(value), value) for key, value in trial.params.items()},
        "distributions": trial.distributions,
        "values": trial.values,
        "reports": {step: repr(value) for step, value in trial.intermediate_values.items()},
        "start": trial.datetime_start,
        "complete": trial.datetime_complete,
        "system": trial.system_attrs,
    }


def attributes_of(study: optuna.Study) -> dict[str, Any]:
    return study._storage.get_study_system_attrs(study._study_id)


def in_memory(study: Study) -> list[dict[str, Any]]:
    return [contents(trial) for trial in study._study.trials]


def test_params_values_reports_and_times_on_disk_equal_those_in_memory(make: Make, load: Load) -> None:
    study = make()
    began = datetime.now()
    for number in range(20):
        assert study.ask().number == number
    for number in reversed(range(18)):  # they end in another order
        for step in (1, 5, 6):
            study.report(number, number / step)
        study.tell(number, State.FAIL if number % 5 == 4 else State.COMPLETE, [number / 7])

    on_disk = load()

    assert [contents(trial) for trial in on_disk.trials] == in_memory(study)
    assert [trial.state for trial in on_disk.trials[13:]] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
        *[TrialState.COMPLETE] * 3,
        *[TrialState.RUNNING] * 2,
    ]
    assert on_disk.best_trial.number == 0
    first = on_disk.trials[0]
    assert first.datetime_start is not None
    assert first.datetime_complete is not None
    assert timedelta(0) <= first.datetime_start - began <= first.datetime_complete - began < timedelta(minutes=1)


def test_a_proposal_is_on_disk_when_ask_returns_and_its_end_when_tell_does(make: Make, load: Load) -> None:
    study = make()

    proposal = study.ask()
    (asked,) = load().trials
    study.tell(proposal.number, State.COMPLETE, [0.5])
    (told,) = load().trials

    assert asked.state is TrialState.RUNNING
    assert asked.params == proposal.params
    assert (told.state, told.value) == (TrialState.COMPLETE, 0.5)


def test_optuna_knows_the_directions_and_names_of_the_metrics(make: Make, load: Load) -> None:
    make(objectives=(LOSS, ACCURACY)).ask()

    study = load()

    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.metric_names == ["loss", "accuracy"]


def test_several_objectives_keep_all_values_and_take_no_reports(make: Make, load: Load) -> None:
    study = make(objectives=(LOSS, ACCURACY))
    for values in ([1.0, 0.9], [0.5, 0.5], [2.0, 0.1]):
        number = study.ask().number
        study.report(number, values[0])
        study.tell(number, State.COMPLETE, values)

    on_disk = load()

    assert [trial.values for trial in on_disk.trials] == [[1.0, 0.9], [0.5, 0.5], [2.0, 0.1]]
    assert {trial.number for trial in on_disk.best_trials} == {0, 1}
    assert all(trial.intermediate_values == {} for trial in on_disk.trials)


def test_what_a_sampler_notes_of_trials_and_study_is_on_disk_too(make: Make, load: Load) -> None:
    study = make(NSGAIISampler(population_size=2, seed=1), objectives=(LOSS, ACCURACY))
    for number in range(7):
        study.ask()
        study.tell(number, State.COMPLETE, [float(number), 1.0])

    on_disk = load()

    assert any(trial.system_attrs for trial in on_disk.trials)
    assert [contents(trial) for trial in on_disk.trials] == in_memory(study)
    assert attributes_of(on_disk) == attributes_of(study._study)


class Noting(RandomSampler):
    """Notes something of trial and study when a trial ends, as samplers with constraints do."""

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        study._storage.set_trial_system_attr(trial._trial_id, "constraints", [0.5, trial.number])
        study._storage.set_study_system_attr(study._study_id, "last", trial.number)


def test_what_a_sampler_notes_when_a_trial_ends_is_on_disk_too(make: Make, load: Load) -> None:
    study = make(Noting(seed=1))
    for number in range(2):
        study.ask()
        study.tell(number, State.COMPLETE, [1.0])

    on_disk = load()

    assert [trial.system_attrs for trial in on_disk.trials] == [
        {"constraints": [0.5, 0]},
        {"constraints": [0.5, 1]},
    ]
    assert attributes_of(on_disk) == attributes_of(study._study)
    assert attributes_of(on_disk)["last"] == 1


def test_infinite_and_undefined_reports_survive(make: Make, load: Load) -> None:
    study = make()
    study.ask()
    for value in [math.nan, math.inf, -math.inf, 1e-300, 0.1 + 0.2]:
        study.report(0, value)
    study.tell(0, State.FAIL, [])

    values = load().trials[0].intermediate_values

    assert math.isnan(values[1])
    assert [values[step] for step in range(2, 6)] == [math.inf, -math.inf, 1e-300, 0.1 + 0.2]


def test_an_infinite_value_of_a_complete_trial_survives(make: Make, load: Load) -> None:
    study = make()
    study.ask()
    study.tell(0, State.COMPLETE, [-math.inf])

    assert load().trials[0].value == -math.inf


def test_the_values_of_a_failed_trial_are_left_out(make: Make, load: Load) -> None:
    study = make()
    study.ask()
    study.tell(0, State.FAIL, [1.0])

    assert load().trials[0].values is None


def test_reports_are_on_disk_after_a_flush_while_the_trial_goes_on(make: Make, load: Load) -> None:
    study = make()
    study.ask()
    for value in (1.0, 1.0, 0.5):
        study.report(0, value)
    assert load().trials[0].intermediate_values == {}

    study.flush()

    assert load().trials[0].intermediate_values == {1: 1.0, 2: 1.0, 3: 0.5}
    study.tell(0, State.COMPLETE, [1.0])
    assert load().trials[0].intermediate_values == {1: 1.0, 2: 1.0, 3: 0.5}


def test_the_pruner_gives_up_what_is_worse_than_the_others_at_the_same_report(path: Path, load: Load) -> None:
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    study = Study(lambda number: RandomSampler(seed=number), SPACE, (LOSS,), path, "mine", pruner)
    for _ in range(3):
        study.ask()

    assert [study.report(number, value) for number, value in enumerate([1.0, 2.0, 0.5])] == [False, True, False]
    study.tell(1, State.PRUNED_POOR_PERFORMANCE, ())
    study.close()

    pruned = load().trials[1]
    assert (pruned.state, pruned.intermediate_values) == (TrialState.PRUNED, {1: 2.0})
    assert pruned.system_attrs["completed_rung_0"] == 2.0


def test_a_trial_that_waits_to_be_continued_is_not_told(make: Make, load: Load) -> None:
    study = make()
    study.ask()
    study.report(0, 1.0)
    study.tell(0, State.WAITING, ())

    assert load().trials[0].state is TrialState.RUNNING
    assert load().trials[0].intermediate_values == {1: 1.0}


def test_the_file_is_a_study_that_optuna_itself_can_go_on_with(make: Make, load: Load) -> None:
    study = make()
    study.ask()
    study.tell(0, State.COMPLETE, [1.0])
    study.close()

    on_disk = load()
    on_disk.optimize(lambda trial: trial.suggest_float("lr", 1e-4, 1e-1, log=True), n_trials=2)

    assert [trial.number for trial in load().trials] == [0, 1, 2]


def test_a_reader_that_holds_a_transaction_does_not_stop_the_study(make: Make, path: Path) -> None:
    study = make()
    study.ask()
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM trials").fetchone()

    study.tell(0, State.COMPLETE, [1.0])
    study.ask()

    assert reader.execute("SELECT COUNT(*) FROM trials").fetchone() == (1,), "its own snapshot"
    reader.execute("COMMIT")
    assert reader.execute("SELECT COUNT(*) FROM trials").fetchone() == (2,)
    reader.close()


def test_without_a_path_nothing_is_written(tmp_path: Path) -> None:
    study = Study(lambda number: RandomSampler(seed=number), SPACE, (LOSS,))
    study.ask()
    study.tell(0, State.COMPLETE, [1.0])
    study.close()

    assert list(tmp_path.iterdir()) == []


def test_the_samplers_that_proposed_the_trials_are_kept_in_their_order(make: Make, load: Load) -> None:
    def noted(*names: str) -> list[str]:
        study = make()
        for name in names:
            study.note_sampler(name)
        study.ask()
        study.close()
        return list(load().user_attrs.get(SAMPLERS, ()))

    assert noted("RandomSampler", "RandomSampler") == ["RandomSampler"]
    assert noted("TPESampler") == ["RandomSampler", "TPESampler"]


def test_of_a_study_that_named_no_sampler_the_earlier_trials_have_an_unknown_one(make: Make, load: Load) -> None:
    first = make()
    first.ask()
    first.close()
    make().note_sampler("grid")

    assert load().user_attrs[SAMPLERS] == ["unknown", "grid"]


def test_a_study_that_goes_on_with_another_sampler_knows_the_one_before(make: Make) -> None:
    before = []
    for name in ("tpe", "tpe", "random"):
        study = make()
        study.note_sampler(name)
        before.append(study.earlier_sampler)
        study.close()

    assert before == [None, None, "tpe"]
