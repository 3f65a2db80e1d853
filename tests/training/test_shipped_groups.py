"""Every option of the groups that a training run is composed from can be built and trained with."""

from __future__ import annotations

import math

import pytest

from hpo.training.loop import train
from tests.training.conftest import CONF

GROUPS = ("optimizer_config", "scheduler_config", "loss_config", "model_config", "data_config")


def options(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize(("group", "option"), [(group, option) for group in GROUPS for option in options(group)])
def test_an_option_trains(make_trial, tmp_path, group, option):
    if option == "none" and group != "scheduler_config":
        pytest.skip("for experiments without the training loop")
    trial = make_trial("train_config.epochs=1", **{group: option})
    if option == "mnist":
        trial.config.data_config.root = str(tmp_path)
        trial.config.data_config.fallback = "digits"
    assert math.isfinite(train(trial)["val_loss"])


def test_train_config_spells_every_key_with_its_default(make_config):
    from omegaconf import OmegaConf

    from hpo.config import TrainConfig

    spelled = OmegaConf.load(CONF / "train_config/default.yaml")
    assert spelled == OmegaConf.structured(TrainConfig)


def test_cosine_ends_with_the_last_epoch(make_trial):
    trial = make_trial("train_config.epochs=4", "optimizer_config.lr=0.1", scheduler_config="cosine")
    train(trial)
    rates = [record["learning_rate"] for record in trial.records]
    assert rates == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447], abs=1e-6)
    assert trial.saved[-1][2]["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.0)
