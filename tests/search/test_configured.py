from __future__ import annotations

import pytest
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.search.configured import configured_values
from hpo.search.tree import SearchSpace


@pytest.fixture
def config() -> DictConfig:
    return OmegaConf.create(
        {
            "model_config": {"hidden_size": 128},
            "optimizer_config": {"lr": 0.001},
            "early_stopping_iter": None,
            "hydra": {"runtime": {"choices": {"optimizer_config": "adam"}}},
        }
    )


def test_the_configured_values_are_those_of_each_key_and_the_option_of_a_group(config: DictConfig) -> None:
    space: dict[str, BaseDistribution] = {
        "model_config.hidden_size": IntDistribution(32, 512, log=True),
        "optimizer_config.lr": FloatDistribution(1e-4, 1e-1),
        "optimizer_config": CategoricalDistribution(["sgd", "adam"]),
        "early_stopping_iter": CategoricalDistribution([None, 5]),
    }

    assert configured_values(config, SearchSpace.of(space)) == {
        "model_config.hidden_size": 128,
        "optimizer_config.lr": 0.001,
        "optimizer_config": "adam",
        "early_stopping_iter": None,
    }


@pytest.mark.parametrize(
    "distribution",
    [
        FloatDistribution(0.5, 0.9),
        IntDistribution(3, 5),
        CategoricalDistribution(["a", "b"]),
        FloatDistribution(0.0, 1.0, step=0.1),
    ],
)
def test_a_configured_value_outside_the_space_is_said(config: DictConfig, distribution: BaseDistribution) -> None:
    said = configured_values(config, SearchSpace.of({"optimizer_config.lr": distribution}))

    assert isinstance(said, str)
    assert said.startswith("the configured optimizer_config.lr=0.001 is outside")


def test_nothing_searched_is_nothing_to_try_first(config: DictConfig) -> None:
    assert configured_values(config, SearchSpace()) is None
