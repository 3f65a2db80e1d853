from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from hpo.config import Direction
from hpo.data.protocol import Splits
from hpo.errors import ConfigError, DataError
from hpo.training.preflight import check
from tests.training.toy_problem import Items

HERE = "tests.training.test_preflight"
TOY = "tests.training.toy_problem"


class Classes:
    """12 samples in 3 classes, of which one may have a value or a label that it should not."""

    def __init__(self, value: float = 0.0, label: int = 0) -> None:
        self.value, self.label = value, label

    def load(self, source: object) -> Splits:
        inputs = torch.rand(12, 4)
        inputs[7, 2] = self.value
        labels = torch.arange(12) % 3
        labels[11] = self.label
        return Splits(TensorDataset(inputs, labels), TensorDataset(inputs.clone(), labels.clone()))


class LoadedNan:
    """Samples that only a DataLoader gives, all of them NaN."""

    def load(self, source: object) -> Splits:
        data = Items(torch.full((8, 4), float("nan")), torch.zeros(8, dtype=torch.int64))
        return Splits(data, data)


class Flat:
    def load(self, source: object) -> Splits:
        data = TensorDataset(torch.rand(8, 4), torch.rand(8))
        return Splits(data, data)


class Unloadable:
    def __init__(self, kind: str) -> None:
        self.kind = kind

    def load(self, source: object) -> object:
        if self.kind == "raises":
            raise KeyError("column x")
        return (1, 2)


class Breaks(nn.Module):
    def __init__(self, in_features: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(in_features, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs)


@pytest.fixture(autouse=True)
def allowed_here(allowed_targets):
    from hydra.utils import execution_whitelist

    from hpo.targets import BUILT_IN

    with execution_whitelist((*BUILT_IN, "tests.training.*")):
        yield


@pytest.fixture
def checked(make_config):
    def run(*dotlist, **groups):
        shipped = {
            "data_config": {"_target_": f"{HERE}.Classes"},
            "model_config": {"_target_": f"{HERE}.Breaks"},
            "metrics": {},
        }
        return check(make_config(("train_config.batch_size=4", "device=cpu", *dotlist), **shipped | groups))

    return run


def accuracy(num_classes):
    target = "torchmetrics.classification.MulticlassAccuracy"
    return {"accuracy": {"_target_": target, "num_classes": num_classes, "average": "micro"}}


def test_it_names_the_metrics_that_an_evaluation_measures(checked):
    names = checked(metrics=accuracy(3))
    expected = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "best_iteration", "best_loss"]
    assert names == expected


def test_a_task_that_is_not_the_loop_needs_none_of_its_parts(make_config):
    config = make_config(model_config={}, data_config={})
    config.task = {"_target_": "mypkg.train.run"}
    assert check(config) is None


def test_it_compiles_nothing_and_changes_nothing(make_config):
    config = make_config(("train_config.compile=true", "device=cpu"))
    before, level = config.copy(), logging.getLogger("hpo.train").level
    assert "val_loss" in check(config)
    assert config == before
    assert logging.getLogger("hpo.train").level == level


def test_a_model_that_cannot_take_the_data_is_told_with_the_shapes_and_the_line(checked):
    with pytest.raises(ConfigError) as raised:
        checked(model_config={"_target_": f"{HERE}.Breaks", "in_features": 5})
    said = str(raised.value)
    assert said.startswith(
        f"model_config ({HERE}.Breaks) fails on a batch (float32 (4, 4), int64 (4,)): RuntimeError"
    )
    assert "in forward" in said


def test_a_label_that_the_model_has_no_score_for_is_found_wherever_it_is(checked):
    with pytest.raises(DataError) as raised:
        checked("train_config.shuffle=false", data_config={"_target_": f"{HERE}.Classes", "label": 7})
    assert str(raised.value) == (
        "data_config: the training data has labels from 0 to 7, but model_config gives scores of 3 classes: 0 to 2"
    )


def test_a_value_that_is_no_number_is_found_wherever_it_is(checked):
    with pytest.raises(DataError) as raised:
        checked(data_config={"_target_": f"{HERE}.Classes", "value": float("nan")})
    assert str(raised.value) == (
        "data_config: the training data (float32 (12, 4)) has 1 values that are NaN or infinite"
    )


def test_nan_behind_a_data_loader_shows_in_the_first_loss(checked):
    with pytest.raises(
        ConfigError, match=r"loss_config: the loss of the first batch \(float32 \(4, 4\), .* is nan"
    ):
        checked(data_config={"_target_": f"{HERE}.LoadedNan"})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("raises", r"data_config \(.*Unloadable: kind='raises'\) cannot load its data: KeyError: 'column x'"),
        ("tuple", r"data_config \(.*Unloadable\): load\(\) must return hpo.data.protocol.Splits, not a tuple"),
    ],
)
def test_data_that_cannot_be_loaded_names_its_key(checked, kind, said):
    with pytest.raises(ConfigError, match=said):
        checked(data_config={"_target_": f"{HERE}.Unloadable", "kind": kind})


def test_shapes_that_torch_would_compare_each_with_all_are_refused(checked):
    flat = {"data_config": {"_target_": f"{HERE}.Flat"}, "loss_config": {"_target_": "torch.nn.MSELoss"}}
    model = {"model_config": {"_target_": "torch.nn.Linear", "in_features": 4, "out_features": 1}}
    with pytest.raises(ConfigError) as raised:
        checked(**flat, **model)
    assert str(raised.value).startswith(
        "loss_config: MSELoss cannot compare the model's output (float32 (4, 1)) with the target (float32 (4,)): "
    )


def test_a_metric_that_wants_other_arguments_is_named(checked):
    with pytest.raises(ConfigError, match=r"metrics\.accuracy cannot be computed of outputs float32 \(4, 3\)"):
        checked(metrics=accuracy(5))


def test_a_metric_that_cannot_be_built_is_named(checked):
    with pytest.raises(
        ConfigError, match=r"metrics\.accuracy \(torchmetrics.classification.Mul.*\) cannot be built"
    ):
        checked(metrics=accuracy("three"))


def test_a_schedule_that_wants_a_metric_that_is_not_there_is_named(checked):
    plateau = {
        "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "interval": "evaluation",
        "metric": "val_f1",
    }
    with pytest.raises(
        ConfigError, match=r"scheduler_config\.metric=val_f1 is not measured; there are: train_loss, "
    ):
        checked(scheduler_config=plateau)


def test_a_batch_larger_than_the_data_that_is_dropped_is_named(checked):
    with pytest.raises(
        DataError, match=r"12 samples give no batch of train_config\.batch_size=64 with train_config"
    ):
        checked("train_config.batch_size=64", "train_config.drop_last=true")


def test_another_first_objective_has_its_best_among_the_metrics(make_config):
    config = make_config(
        ("train_config.batch_size=4", "device=cpu"),
        data_config={"_target_": f"{HERE}.Classes"},
        model_config={"_target_": f"{HERE}.Breaks"},
        metrics=accuracy(3),
    )
    config.optim_metrics = {"val_accuracy": Direction.max}
    assert "best_accuracy" in check(config)
