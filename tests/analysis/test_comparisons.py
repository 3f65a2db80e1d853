"""Importance, interactions and the ablation table: a parameter that matters, one that does not, an interaction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution, FloatDistribution

from hpo.analysis.ablation import DESCRIPTIVE, Row, ablation, num_comparisons
from hpo.analysis.design import Kind
from hpo.analysis.effects import NO_SPREAD
from hpo.analysis.importance import by_importance, interactions, of_subject
from hpo.analysis.loading import load
from hpo.analysis.seeds import best_against_configured
from hpo.analysis.subject import Subject, chosen
from hpo.records import State
from tests.analysis.planted import Trial, plant

Quadratic = Callable[..., DictConfig]
SPACE = {
    "task.a": FloatDistribution(0, 1),
    "task.b": FloatDistribution(0, 1),
    "task.kind": CategoricalDistribution(["good", "bad", "same"]),
}


def planted(count: int = 60, *, seed: int = 0, is_pair: bool = False) -> list[Trial]:
    """`kind=bad` costs 2, `a` costs 3 a unit, `b` nothing; with `is_pair` a and b count only together."""
    rng = np.random.default_rng(seed)
    trials = []
    for _ in range(count):
        a, b, kind = float(rng.uniform()), float(rng.uniform()), str(rng.choice(["good", "bad", "same"]))
        loss = 10 * (a - 0.5) * (b - 0.5) if is_pair else 3 * a + 2 * (kind == "bad")
        trials.append(
            Trial({"task.a": a, "task.b": b, "task.kind": kind}, {"loss": loss + 0.1 * float(rng.normal())})
        )
    return trials


def of(config: DictConfig, trials: Sequence[Trial], *samplers: str) -> Subject:
    return chosen(load(plant(config, trials, samplers=samplers or ("RandomSampler",), distributions=SPACE).root))


def row(rows: Sequence[Row], key: str, choice: str) -> Row:
    return next(each for each in rows if each.parameter.key == key and each.choice == choice)


def test_the_parameter_that_matters_is_the_most_important_and_the_idle_one_the_least(subject: Subject) -> None:
    (shares,) = of_subject(subject)

    assert isinstance(shares, dict)
    assert next(iter(shares)) == "lr"
    assert shares["lr"] > 0.4
    assert shares["dropout"] < 0.05
    assert sum(shares.values()) == pytest.approx(1)
    assert by_importance(subject, shares)[0].key == "optimizer_config.lr"


def test_a_pair_that_counts_only_together_is_the_strongest_interaction(quadratic: Quadratic) -> None:
    together = of(quadratic(), planted(is_pair=True))
    found = interactions(together, list(together.parameters))

    assert not isinstance(found, str)
    parameters, strength = found
    keys = [each.key for each in parameters]
    pair = strength[keys.index("task.a"), keys.index("task.b")]
    others = np.where(strength == pair, np.nan, strength)
    assert pair > 0.7
    assert np.nanmax(others) < pair / 4


def test_a_choice_that_costs_is_worse_and_the_others_are_not_told_apart_from_chance(quadratic: Quadratic) -> None:
    found = of(quadratic(), planted())
    rows = ablation(found)
    bad = row(rows, "task.kind", "bad")

    assert found.design.kind is Kind.CROSSED
    assert (bad.verdict, bad.effect.difference) == ("worse", pytest.approx(2, abs=0.5))
    assert bad.effect.low > 0
    assert bad.p < 0.001
    complete = found.complete
    own = complete.loc[complete["params_task.kind"] == "bad", "loss"]
    assert (bad.num, bad.mean, bad.best) == (len(own), pytest.approx(own.mean()), own.min())
    quarters = [each for each in rows if each.parameter.key == "task.a"]
    assert len(quarters) == 4
    assert (quarters[0].verdict, quarters[-1].verdict) == ("better", "worse")
    idle = [each for each in rows if each.parameter.key == "task.b"]
    assert {each.verdict for each in idle} == {"no difference shown"}
    assert num_comparisons(rows, found.first) == 3 + 4 + 4


def test_where_nothing_matters_few_experiments_show_a_difference(quadratic: Quadratic) -> None:
    rng = np.random.default_rng(3)
    template = of(quadratic(), planted(40))
    wrong = 0
    for _ in range(60):
        template.complete["loss"] = rng.normal(size=len(template.complete))
        wrong += any(each.verdict in ("better", "worse") for each in ablation(template))

    assert wrong / 60 < 0.15


def test_two_choices_are_one_comparison(quadratic: Quadratic) -> None:
    trials = [Trial({"task.x": float(i % 2)}, {"loss": float(i % 2) + 0.01 * i}) for i in range(12)]
    found = chosen(load(plant(quadratic(), trials).root))
    first, second = ablation(found)

    assert first.p == second.p == first.effect.p
    assert (first.verdict, second.verdict) == ("better", "worse")
    assert num_comparisons([first, second], found.first) == 1


@pytest.mark.parametrize("sampler", ["TPESampler", "GPSampler", "CmaEsSampler", "NSGAIISampler", "unknown"])
def test_trials_of_a_sampler_that_follows_results_are_described_and_not_tested(
    sampler: str, quadratic: Quadratic
) -> None:
    rows = ablation(of(quadratic(), planted(20), sampler))

    assert {each.verdict for each in rows} == {DESCRIPTIVE}
    assert all(math.isnan(each.p) for each in rows)
    assert not math.isnan(rows[0].effect.g)


def test_pruned_and_failed_trials_are_counted_for_each_choice_and_make_it_descriptive(
    quadratic: Quadratic,
) -> None:
    trials = [
        *planted(10),
        Trial({"task.kind": "bad", "task.a": 0.1, "task.b": 0.1}, {"loss": 9.0}, State.PRUNED_POOR_PERFORMANCE),
        Trial({"task.kind": "bad", "task.a": 0.1, "task.b": 0.1}, {}, State.FAIL, reason="no"),
    ]
    found = of(quadratic(), trials)
    bad = row(ablation(found), "task.kind", "bad")

    assert (bad.num_pruned, bad.num_failed, bad.verdict) == (1, 1, DESCRIPTIVE)
    assert "pruned" in found.design.reason


def test_an_ablation_holds_each_choice_against_the_configured_values_by_their_seeds(quadratic: Quadratic) -> None:
    def trial(shift: float, **changed: object) -> Trial:
        params = {"task.kind": "good", "task.b": 0.5} | {f"task.{key}": value for key, value in changed.items()}
        seeds = [1.0 + shift + noise for noise in (-0.1, 0.0, 0.05, 0.1)]
        return Trial(params, {"loss": float(np.mean(seeds))}, seeds=seeds)  # type: ignore[arg-type]

    trials = [
        trial(0),
        trial(1, kind="bad"),
        trial(0.01, kind="same"),
        trial(5, kind="bad", b=0.9),
        trial(0, b=0.9),
    ]
    found = of(quadratic(), trials, "ablation")
    rows = ablation(found)

    assert found.design.kind is Kind.ONE_AT_A_TIME
    assert row(rows, "task.kind", "good").verdict == "the configured value"
    bad = row(rows, "task.kind", "bad")
    # the trial that also changes b does not count
    assert (bad.num, bad.effect.difference, bad.verdict) == (4, pytest.approx(1.0), "worse")
    assert row(rows, "task.kind", "same").verdict == "no difference shown"
    assert row(rows, "task.b", "0.9").verdict == "no difference shown"


def test_an_ablation_without_replicates_has_too_few_values_for_a_test(quadratic: Quadratic) -> None:
    trials = [Trial({"task.kind": kind, "task.b": 0.1}, {"loss": 1.0}) for kind in ("good", "bad", "same")]
    rows = ablation(of(quadratic(), trials, "ablation"))

    assert [each.verdict for each in rows] == [
        "the configured value",
        *["too few values for a test"] * 2,
    ]


def test_with_replicates_the_best_is_held_against_the_configured_values(quadratic: Quadratic) -> None:
    trials = [
        Trial({"task.x": x}, {"loss": loss}, seeds=[loss - 0.1, loss, loss + 0.1])
        for x, loss in ((0.0, 5.0), (1.0, 1.0), (2.0, 3.0))
    ]
    found = best_against_configured(chosen(load(plant(quadratic(), trials, samplers=("tpe",)).root)))

    assert found is not None
    assert "better than the configured values" in found
    assert "chosen as the best of 3" in found
    assert best_against_configured(of(quadratic(experiment_id="two"), planted(5))) is None


def test_seeds_that_come_to_the_same_have_no_spread_to_test(quadratic: Quadratic) -> None:
    trials = [
        Trial({"task.kind": kind, "task.b": 0.1}, {"loss": loss}, seeds=[loss] * 3)
        for kind, loss in (("good", 1.0), ("bad", 2.0))
    ]
    rows = ablation(of(quadratic(num_replicates=3), trials, "ablation"))

    assert [(each.num, each.verdict) for each in rows] == [(3, "the configured value"), (3, NO_SPREAD)]


def test_a_choice_of_which_every_trial_was_pruned_has_a_row_that_says_so(quadratic: Quadratic) -> None:
    trials = [Trial({"task.kind": "good", "task.a": a}, {"loss": a}) for a in (0.1, 0.5, 0.9)]
    trials += [Trial({"task.kind": "bad", "task.a": 0.5}, {"loss": 9.0}, State.PRUNED_POOR_PERFORMANCE)] * 2
    found = of(quadratic(), trials)
    rows = ablation(found)

    assert [each.key for each in found.parameters] == ["task.a"]
    bad, good = row(rows, "task.kind", "bad"), row(rows, "task.kind", "good")
    assert (bad.num, bad.num_pruned, good.num, good.num_pruned) == (0, 2, 3, 0)


def test_metrics_that_lack_values_are_told_with_how_many(quadratic: Quadratic) -> None:
    values = (math.nan, math.inf, 3.0, 4.0)
    trials = [
        Trial({"task.a": 0.1 * each}, {"loss": each, "aux": value, "none": math.nan})
        for each, value in enumerate(values)
    ]
    notes = of(quadratic(), trials).notes

    assert "aux is missing or not finite in 2 of 4 compared trials" in notes
    assert "none is missing or not finite in 4 of 4 compared trials" in notes
    assert not any(note.startswith("loss") for note in notes)
