"""The search with constraints: what it does not run, and what it tells the study of what it ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import optuna
import pytest
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from hpo.config import Duplicates
from hpo.experiment.experiment import Experiment
from hpo.search.budget import Budget, Limits
from hpo.search.loop import Search
from hpo.search.proposals import Proposals
from hpo.search.sampler import without_experimental_warnings
from hpo.search.samples import random_samples
from hpo.search.soft_constraints import SoftConstraints
from hpo.search.study import Study
from hpo.search.tree import SearchSpace
from tests.search.scripted_stream import ScriptedStream

SPACE: dict[str, BaseDistribution] = {"task.x": FloatDistribution(-5.0, 5.0)}
FEW: dict[str, BaseDistribution] = {"task.x": CategoricalDistribution([1.0, 2.0, 3.0])}

Run = Callable[..., tuple[Study, ScriptedStream]]


@pytest.fixture(scope="module")
def composed(compose_run: Callable[..., DictConfig]) -> DictConfig:
    return compose_run("+experiment=quadratic", hydra=True)


@pytest.fixture
def experiment(open_experiment: Callable[..., Experiment]) -> Experiment:
    return open_experiment()


@pytest.fixture
def run(experiment: Experiment, composed: DictConfig) -> Iterator[Run]:
    """`run(most=0.5)`: a search of trials with task.x of at most 0.5; returns its study and stream."""
    studies = []

    def of(
        *,
        most: float = 5.0,
        soft: Any = (),
        outcome: Callable[[int], Mapping[str, float] | None] = lambda number: {"loss": float(number)},
        total_trials: int = 4,
        space: Any = SPACE,
        planned: Any = (),
        duplicates: Duplicates = Duplicates.skip,
        sampler: Callable[[int], BaseSampler] = lambda number: RandomSampler(seed=number),
    ) -> tuple[Study, ScriptedStream]:
        tree = SearchSpace.of(space)
        study = Study(sampler, tree, experiment.objectives, experiment.paths.study_db)
        studies.append(study)
        stream = ScriptedStream(1, outcome)

        def broken(params: Mapping[str, Any]) -> str | None:
            return f"task.x <= {most}" if params["task.x"] > most else None

        Search(
            study,
            stream,
            experiment,
            Proposals(
                study,
                planned,
                duplicates,
                broken=broken,
                drawn=lambda number: random_samples(tree, number),
            ),
            Budget(Limits(), experiment.objectives),
            fixed=(),
            total_trials=total_trials,
            concurrent_trials=1,
            soft=SoftConstraints.of(soft, composed, space),
        ).run()
        return study, stream

    yield of
    for study in studies:
        study.close()


def loaded(experiment: Experiment) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=f"sqlite:///{experiment.paths.study_db}")


def test_what_breaks_a_constraint_is_never_run_and_costs_no_budget(run: Run, experiment: Experiment) -> None:
    _, stream = run(most=0.5)

    assert len(stream.submitted) == 4
    assert all(float(str(spec.params["task.x"])) <= 0.5 for spec in stream.submitted)
    rejected = [trial for trial in loaded(experiment).trials if trial.params["task.x"] > 0.5]
    assert rejected
    for trial in rejected:
        assert trial.state is TrialState.PRUNED
        assert trial.user_attrs == {"state": "PRUNED_INVALID", "constraint": "task.x <= 0.5"}
    assert "PRUNED_INVALID: breaks the constraint task.x <= 0.5" in experiment.paths.log.read_text()
    assert len([path for path in experiment.paths.root.iterdir() if path.is_dir()]) == 4


def test_a_planned_trial_that_breaks_one_is_not_run_either_and_it_is_said(
    run: Run, experiment: Experiment
) -> None:
    _, stream = run(most=0.5, planned=[{"task.x": 4.5}, {"task.x": -4.5}])

    assert stream.submitted[0].params == {"task.x": -4.5}
    assert "trial 0000_" in next(
        line for line in experiment.paths.log.read_text().splitlines() if "PRUNED_INVALID" in line
    )


def test_any_number_of_planned_trials_may_break_one(run: Run) -> None:
    _, stream = run(most=0.5, planned=[{"task.x": 1.0 + number / 1000} for number in range(150)])

    assert len(stream.submitted) == 4


def test_where_few_proposals_keep_the_constraints_they_are_looked_for(run: Run, experiment: Experiment) -> None:
    _, stream = run(most=-4.9, sampler=lambda number: _Constant(4.0))

    assert len(stream.submitted) == 4
    # 20 of the sampler's each time, and then one that was found, as a rule at once
    assert 4 * 21 <= len(loaded(experiment).trials) <= 4 * 24


def test_the_search_ends_when_nothing_keeps_the_constraints(run: Run, experiment: Experiment) -> None:
    _, stream = run(most=0.5, space=FEW)

    assert stream.submitted == []
    assert (
        "the last 100 proposals were not new or broke a constraint: the search space is exhausted"
        in experiment.paths.log.read_text()
    )


@pytest.mark.parametrize("sampler", [RandomSampler, TPESampler, NSGAIISampler, GPSampler, CmaEsSampler])
def test_the_study_on_disk_knows_which_trials_break_soft_constraints(
    run: Run, experiment: Experiment, sampler: Any
) -> None:
    def sampler_for(number: int) -> Any:
        with without_experimental_warnings():
            return sampler(seed=number)

    run(
        soft=["latency <= 10", "task.x >= -9"],
        outcome=lambda number: {"loss": float(number), "latency": 12.0 - number},
        sampler=sampler_for,
        total_trials=12,
    )

    study = loaded(experiment)
    assert [trial.constraints["latency <= 10"] for trial in study.trials] == [2.0 - number for number in range(12)]
    assert study.trials[0].constraints["task.x >= -9"] == pytest.approx(-9 - study.trials[0].params["task.x"])
    assert [trial.number for trial in study.best_trials] == [study.best_trial.number] == [2]
    assert experiment.progress.best() == 2


def test_a_missing_metric_is_a_broken_constraint_and_is_said_once(run: Run, experiment: Experiment) -> None:
    study, _ = run(soft=["latency <= 10"])

    assert {tuple(trial.constraints.values()) for trial in study._study.trials} == {(1.0,)}
    assert experiment.progress.best() is None
    log = experiment.paths.log.read_text()
    assert log.count("has no metric latency") == 1
    assert "there are: loss" in log
    assert "(breaks a soft constraint)" in log


def test_what_fails_breaks_nothing(run: Run, experiment: Experiment) -> None:
    study, _ = run(soft=["loss <= 10"], outcome=lambda number: None if number else {"loss": 1.0})

    assert [trial.constraints for trial in study._study.trials] == [{"loss <= 10": -9.0}, {}, {}, {}]


def test_reused_values_come_with_their_violations(run: Run) -> None:
    study, _ = run(
        soft=["loss <= 0.5"],
        space={"task.x": CategoricalDistribution([1.0])},
        duplicates=Duplicates.reuse,
        outcome=lambda _: {"loss": 2.0},
    )

    assert len(study._study.trials) > 1
    assert {trial.constraints["loss <= 0.5"] for trial in study._study.trials} == {1.5}


class _Constant(RandomSampler):
    """Proposes the same for ever."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def sample_independent(self, *_: Any) -> float:
        return self._value
