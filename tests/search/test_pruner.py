from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from optuna import pruners

from hpo.config import Direction
from hpo.errors import ConfigError
from hpo.objectives import Objective
from hpo.search.pruner import build_pruner, said_of
from tests.conftest import REPOSITORY

LOSS = Objective("val_loss", Direction.min)
ACCURACY = Objective("val_accuracy", Direction.max)
GROUPS = {
    "median": pruners.MedianPruner,
    "percentile": pruners.PercentilePruner,
    "asha": pruners.SuccessiveHalvingPruner,
    "hyperband": pruners.HyperbandPruner,
    "patient": pruners.PatientPruner,
    "threshold": pruners.ThresholdPruner,
    "wilcoxon": pruners.WilcoxonPruner,
}


def shipped() -> set[str]:
    return {path.stem for path in Path(REPOSITORY, "conf/pruner").glob("*.yaml")}


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_every_group_builds_the_pruner_of_its_name(name: str) -> None:
    overrides = [f"pruner={name}", *(["pruner.upper=10.0"] if name == "threshold" else [])]
    with initialize_config_module("hpo.conf", job_name="hpo"):
        config = compose("default_config", overrides=overrides)

    assert type(build_pruner(config.pruner, [LOSS], num_replicates=5)) is GROUPS[name]


def test_the_default_prunes_nothing() -> None:
    with initialize_config_module("hpo.conf", job_name="hpo"):
        assert build_pruner(compose("default_config").pruner, [LOSS]) is None
    assert shipped() == {"none", *GROUPS}


def test_several_objectives_cannot_be_pruned() -> None:
    node = OmegaConf.create({"_target_": "optuna.pruners.MedianPruner"})

    with pytest.raises(
        ConfigError, match=r"optim_metrics: val_loss, val_accuracy\) cannot be pruned.*pruner=none"
    ):
        build_pruner(node, [LOSS, ACCURACY])


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            {"_target_": "optuna.pruners.MedianPruner", "speed": 3},
            "MedianPruner.*unexpected keyword argument 'speed'",
        ),
        ({"_target_": "optuna.pruners.ThresholdPruner"}, "Either lower or upper must be specified"),
        ({"_target_": "optuna.pruners.PercentilePruner", "percentile": 200.0}, "between 0 and 100"),
        ({"_target_": "optuna.pruners.Cut"}, "optuna.pruners.Cut"),
        ({"_target_": "optuna.samplers.RandomSampler"}, "must be an optuna.pruners.BasePruner, but is"),
        ({"percentile": 20.0}, "must be a node with a _target_"),
        ("asha", "pruner='asha' must be a node with a _target_"),
    ],
)
def test_what_cannot_be_a_pruner_is_an_error_that_says_why(node: object, said: str) -> None:
    config = OmegaConf.create({"pruner": node})

    with pytest.raises(ConfigError, match=said):
        build_pruner(config.pruner, [LOSS])


def test_a_pruner_that_compares_replicates_needs_some() -> None:
    node = OmegaConf.create({"_target_": "optuna.pruners.WilcoxonPruner"})

    with pytest.raises(ConfigError, match=r"WilcoxonPruner\) compares the replicates .*num_replicates=1: set"):
        build_pruner(node, [LOSS])


def test_a_pruner_whose_package_is_missing_is_an_error_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hpo.search.pruner.find_spec", lambda name: None)
    node = OmegaConf.create({"_target_": "optuna.pruners.WilcoxonPruner"})

    with pytest.raises(ConfigError, match=r"needs the package scipy: pip install 'hpo\[samplers\]'"):
        build_pruner(node, [LOSS], num_replicates=5)


@pytest.mark.parametrize(
    ("num_replicates", "options", "is_idle"),
    [
        (4, {}, True),
        (5, {}, False),
        (3, {"p_threshold": 0.3}, False),
        (5, {"n_startup_steps": 5}, True),
        (8, {"p_threshold": 0.0}, True),
    ],
)
def test_a_pruner_that_can_spare_no_replicate_is_told(
    num_replicates: int, options: dict[str, float], is_idle: bool
) -> None:
    node = OmegaConf.create({"_target_": "optuna.pruners.WilcoxonPruner", **options})
    said = said_of(build_pruner(node, [LOSS], num_replicates), num_replicates)

    assert (said is not None) == is_idle
    if said is not None:
        assert f"num_replicates={num_replicates}" in said
