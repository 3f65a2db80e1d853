from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import DictConfig

from hpo.errors import ConfigError
from hpo.search.soft_constraints import SoftConstraints

WIDTH, MOMENTUM = "model_config.hidden_size", "optimizer_config.momentum"


@pytest.fixture(scope="module")
def mnist(compose_run: Callable[..., DictConfig]) -> DictConfig:
    return compose_run("+experiment=mnist", hydra=True)


@pytest.mark.parametrize(
    ("text", "violation"),
    [
        ("val_latency <= 10", 2.0),
        ("val_latency <= 12", 0.0),
        ("val_latency <= 13", -1.0),
        ("val_latency >= 13", 1.0),
        ("10 < val_latency", -2.0),
        ("val_latency > 10", -2.0),
        ("params / 1e6 < 5", -3.0),
        (f"val_latency <= {WIDTH} / 8", 4.0),
        ("val_latency <= train_config.batch_size", -20.0),
        # what is missing or not finite
        ("val_memory <= 10", 1.0),
        ("broken <= 10", 1.0),
        ("broken >= 10", 1.0),
        ("endless >= 10", 1.0),
        ("1 / (val_latency - 12) <= 10", 1.0),
        ("val_latency <= 'a'", 1.0),
        # a subspace that was not chosen
        (f"{MOMENTUM} <= val_latency", 0.0),
    ],
)
def test_a_violation_is_how_far_a_trial_is_above_the_bound(mnist: DictConfig, text: str, violation: float) -> None:
    constraints = SoftConstraints.of([text], mnist, [WIDTH, MOMENTUM])
    metrics = {"val_latency": 12, "params": 2_000_000, "broken": math.nan, "endless": math.inf}

    assert constraints.violations(metrics, {WIDTH: 64}) == {text: violation}


def test_what_must_be_less_is_broken_when_it_is_equal(mnist: DictConfig) -> None:
    constraints = SoftConstraints.of(["a < 1", "a > 1", "a <= 1", "a >= 1"], mnist, [])

    less, more, at_most, at_least = constraints.violations({"a": 1.0}, {}).values()
    assert 0 < less == more < 1e-9
    assert at_most == at_least == 0


def test_there_are_as_many_violations_as_constraints_and_their_metrics_are_known(mnist: DictConfig) -> None:
    constraints = SoftConstraints.of(["a <= b + total_trials", f"c <= {WIDTH}"], mnist, [WIDTH])

    assert constraints.metrics == {"a", "b", "c"}
    assert constraints.violations({"a": 1, "b": 2, "c": 3}, {WIDTH: 1}) == {
        "a <= b + total_trials": 1 - 2 - 10,
        f"c <= {WIDTH}": 2,
    }
    assert SoftConstraints.of([], mnist, [WIDTH]).violations({"a": 1}, {}) == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a", "soft_constraints[1]: a\nmust be one comparison"),
        ("1 < a < 2", "must be one comparison"),
        ("a < 1 and b < 2", "must be one comparison"),
        ("a == 1", "must be one comparison with <, <=, > or >=, for example"),
        ("a in (1, 2)", "must be one comparison"),
        (10, "must be one comparison"),
        ("a <", "soft_constraints[1]: the expression 'a <' cannot be read"),
        ("a < model_config.hiden_size", f"has a key model_config.hiden_size; the nearest are: {WIDTH}"),
    ],
)
def test_anything_but_one_comparison_is_an_error_before_anything_starts(
    mnist: DictConfig, text: Any, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        SoftConstraints.of(["a < 1", text], mnist, [WIDTH])

    assert str(caught.value).startswith("soft_constraints[1]: ")
    assert complaint in str(caught.value)


def test_a_comparison_of_what_are_not_numbers_is_found_with_samples(mnist: DictConfig) -> None:
    with pytest.raises(ConfigError, match="cannot be evaluated for optimizer_config='sgd': TypeError"):
        SoftConstraints.of(["a <= optimizer_config"], mnist, ["optimizer_config"]).check(
            [{"optimizer_config": "sgd"}]
        )
    SoftConstraints.of(["1 / (a - 1) <= x"], mnist, ["x"]).check([{"x": 1}])
