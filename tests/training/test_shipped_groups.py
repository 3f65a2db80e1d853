"""Every option of the groups that a training run is composed from can be built and trained with."""

from __future__ import annotations

import math

import pytest
from omegaconf import OmegaConf

from hpo.config import TrainConfig
from hpo.training.loop import train
from tests.data.conftest import write_idx_files
from tests.training.conftest import CONF, RecordingTrial

GROUPS = (
    *("optimizer_config", "parameter_config", "scheduler_config", "step_config", "loss_config", "metrics"),
    *("model_config", "data_config"),
)
# for experiments whose task is a function of their own
UNTRAINED = {(group, "none") for group in GROUPS if group not in ("scheduler_config", "metrics")}
NUMBERS = {("loss_config", "mse"), ("metrics", "regression")}


def options():
    return [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]


@pytest.mark.parametrize(("group", "option"), [choice for choice in options() if choice not in UNTRAINED])
def test_an_option_trains(compose_run, tmp_path, group, option):
    config = compose_run(
        "data_config=digits", "train_config.epochs=1", *learnt(group, option), f"{group}={option}"
    )
    if "hidden_size" in config.model_config:
        config.model_config.hidden_size = 16
    if option.startswith("mnist"):
        config.data_config.root = str(tmp_path)
        config.data_config.fallback = "digits"
        config.data_config.download = False
    elif option == "fashion_mnist":
        config.data_config.root = str(write_idx_files(tmp_path))
    elif "path" in config.data_config:
        (tmp_path / "table.csv").write_text("a,b,kind,size\n" + "1,2,yes,0.5\n3,4,no,0.1\n" * 5)
        config.data_config.path = str(tmp_path / "table.csv")
        config.data_config.target = "size" if (group, option) in NUMBERS else "kind"
        config.data_config.features = ["a", "b"]
        config.model_config.input_size = 2
    assert math.isfinite(train(RecordingTrial(config, tmp_path))["val_loss"])


def learnt(group, option):
    """What is learnt by what is for numbers, and not for classes."""
    if (group, option) not in NUMBERS:
        return []
    others = ["loss_config=mse", "metrics=regression", "model_config.num_classes=1"]
    return ["data_config=table", "data_config.task=regression", *others]


def test_train_config_spells_every_key_with_its_default():
    spelled = OmegaConf.load(CONF / "train_config/default.yaml")
    assert spelled == OmegaConf.structured(TrainConfig)


def test_cosine_ends_with_the_last_epoch(make_trial):
    trial = make_trial("train_config.epochs=4", "optimizer_config.lr=0.1", scheduler_config="cosine")
    train(trial)
    rates = [record["learning_rate"] for record in trial.records]
    assert rates == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447], abs=1e-6)
    assert trial.saved[-1][2]["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.0)
