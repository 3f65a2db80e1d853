"""Every option of every group composes; wrong types and unknown keys do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpo.config import Direction, RunConfig, TrainConfig
from hpo.experiment.checks import check_config
from hpo.search.check import read_checked_space
from tests.conftest import REPOSITORY

Compose = Callable[..., DictConfig]

CONF = REPOSITORY / "conf"
GROUPS = sorted(
    path.name for path in CONF.iterdir() if path.is_dir() and path.name not in ("hydra", "__pycache__")
)
OPTIONS = [
    (group, path.stem)
    for group in GROUPS
    for path in sorted((CONF / group).glob("*.yaml"))
    if group not in ("experiment", "preset", "search_algo")
]
SEARCH_ALGOS = sorted(path.stem for path in (CONF / "search_algo").glob("*.yaml"))
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_of_every_group_composes_and_resolves(compose_run: Compose, group: str, option: str) -> None:
    config = compose_run(f"{group}={option}")

    node = config[group]
    chosen = OmegaConf.to_container(node, resolve=True) if node is not None else None
    written = yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
    if group in written:
        assert (chosen, written[group]) == (None, None)
    else:
        assert isinstance(chosen, dict)
        assert set(written) - {"defaults"} <= set(chosen)
        assert all(
            chosen[key] == value for key, value in written.items() if not isinstance(value, str | list | dict)
        )


@pytest.mark.parametrize("name", SEARCH_ALGOS)
def test_every_search_algo_is_a_short_name_for_the_sampler_of_that_name(compose_run: Compose, name: str) -> None:
    config = compose_run(f"search_algo={name}", hydra=True)

    assert config.hydra.runtime.choices["hydra/sweeper/sampler"] == name
    assert compose_run(f"hydra/sweeper/sampler={name}", hydra=True).hydra.sweeper == config.hydra.sweeper


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_and_passes_every_check(
    compose_run: Compose, loader: ConfigLoader, name: str
) -> None:
    config = compose_run(f"+experiment={name}")

    check_config(config)
    space = read_checked_space(config, [], loader)
    assert config.name == name
    assert {each.key for each in space.parameters} == set(config.search_space)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_file_opens_with_the_command_that_runs_it(name: str) -> None:
    lines = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()

    assert lines[0] == "# @package _global_"
    assert any(f"python -m hpo +experiment={name}" in line for line in lines[:5])


def test_the_tutorial_is_the_one_of_the_design(compose_run: Compose) -> None:
    config = compose_run("+experiment=mnist")

    assert config.model_config.input_size == 784
    assert config.model_config.num_classes == 10
    assert dict(config.search_space) == {
        "model_config.hidden_size": "int(interval(32, 512))",
        "optimizer_config.lr": "tag(log, interval(1e-4, 1e-1))",
    }
    assert config.optim_metrics == {"val_loss": Direction.min}
    assert (config.train_config.epochs, config.train_config.batch_size, config.threads_per_trial) == (10, 32, 1)
    assert config.experiment_dir == "/tmp/experiments"
    assert list(config.metrics) == ["accuracy"]


def test_the_shipped_train_config_is_the_typed_default(compose_run: Compose) -> None:
    assert compose_run().train_config == OmegaConf.structured(TrainConfig)


def test_without_an_option_every_key_of_hpo_is_there_with_its_default(compose_run: Compose) -> None:
    config, defaults = compose_run(), OmegaConf.structured(RunConfig)

    assert list(config) == list(defaults)
    for key in (
        "random_seed",
        "total_trials",
        "concurrent_trials",
        "experiment_dir",
        "device",
        "keep_n_checkpoints",
    ):
        assert config[key] == defaults[key]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("total_trials=many", "total_trials"),
        ("total_trials=1.5", "total_trials"),
        ("train_config.batch_size=big", "batch_size"),
        ("train_config.shuffle=perhaps", "shuffle"),
        ("eval_epoch=often", "eval_epoch"),
        ("verbose=loud", "verbose"),
        ("random_seed=null", "random_seed"),
        ("tags=one", "tags"),
        ("+optim_metrics.loss=lowest", "optim_metrics"),
        ("tensorboard=maybe", "tensorboard"),
        ("total_trails=3", "total_trails"),
        ("train_config.epoch=3", "epoch"),
        ("model_config=vit", "model_config"),
        ("model_confg=mlp", "model_confg"),
        ("+experiment=cifar", "experiment/cifar"),
    ],
)
def test_a_wrong_type_an_unknown_key_and_an_unknown_option_are_errors_that_name_it(
    compose_run: Compose, override: str, named: str
) -> None:
    with pytest.raises((OmegaConfBaseException, ConfigCompositionException)) as caught:
        compose_run(override)

    assert named in f"{caught.value}\n{caught.value.__cause__}"
