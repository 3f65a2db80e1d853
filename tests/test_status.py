"""What the status tells of an experiment that is over; tests/e2e has one that is interrupted."""

from __future__ import annotations

from collections.abc import Callable

from omegaconf import DictConfig

from hpo.records import State
from hpo.status import describe
from tests.analysis.planted import Trial, plant

Quadratic = Callable[..., DictConfig]


def test_of_several_objectives_the_pareto_set_is_told(quadratic: Quadratic) -> None:
    values = [(1.0, 1.0), (2.0, 2.0), (3.0, 2.0), (0.5, 0.0)]
    trials = [
        Trial({"task.x": float(i)}, {"loss": loss, "score": score}) for i, (loss, score) in enumerate(values)
    ]

    told = describe(plant(quadratic(optim_metrics={"loss": "min", "score": "max"}), trials).root).splitlines()

    at = told.index("  Pareto set, 3 trials:")
    assert [line.partition(": ")[2] for line in told[at + 1 : at + 4]] == [
        "loss = 1, score = 1",
        "loss = 2, score = 2",
        "loss = 0.5, score = 0",
    ]
    assert "  best trial by score: " in "\n".join(told)


def test_the_spread_over_replicates_is_told_beside_their_mean(quadratic: Quadratic) -> None:
    trials = [Trial({"task.x": 1.0}, {"loss": 0.25, "loss_std": 0.05}, seeds=(0.2, 0.3))]

    told = describe(plant(quadratic(num_replicates=2), trials).root)

    assert "loss = 0.25 ± 0.05\n" in told
    assert "1 trial, total_trials=" in told
    assert "Pareto" not in told


def test_a_metric_that_is_named_like_a_spread_is_none_without_replicates(quadratic: Quadratic) -> None:
    trials = [
        Trial({"task.x": 1.0}, {"loss": 0.25, "loss_std": 0.05}),
        Trial({"task.x": 2.0}, state=State.FAIL, reason="ValueError: planted"),
    ]

    told = describe(plant(quadratic(), trials).root)

    assert "loss = 0.25\n" in told
    assert "  failed:\n" in told
    assert ": ValueError: planted" in told
