"""What the check before the first trial is composed with."""

from __future__ import annotations

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.records import Value
from hpo.search.preflight import _values_of_the_space
from hpo.search.tree import SearchSpace
from tests.conftest import Compose


@pytest.mark.parametrize(
    ("key", "distribution", "value"),
    [
        ("model_config.hidden_size", IntDistribution(64, 256), None),
        ("model_config.hidden_size", IntDistribution(8, 16), 8),
        ("model_config.hidden_size", CategoricalDistribution([16, 128]), None),
        ("model_config.hidden_size", CategoricalDistribution([16, 32]), 16),
        ("optimizer_config.lr", FloatDistribution(0.5, 1.0), 0.5),
        ("model_config.dropout", CategoricalDistribution([None, 0.0]), None),
        ("optimizer_config", CategoricalDistribution(["sgd", "adamw"]), None),
        ("optimizer_config", CategoricalDistribution(["adam", "adamw"]), "adam"),
    ],
    ids=str,
)
def test_a_key_whose_configured_value_no_trial_would_have_gets_one_of_its_space(
    compose_run: Compose, key: str, distribution: BaseDistribution, value: Value
) -> None:
    config = compose_run(hydra=True)
    assert _values_of_the_space(config, SearchSpace.of({key: distribution})) == (
        {} if value is None else {key: value}
    )
