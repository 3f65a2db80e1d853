"""What the loop leaves behind and asks for, on the models and data that ship."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from hpo.errors import ConfigError
from hpo.training.loop import train


def test_a_checkpoint_opens_by_default_and_holds_all_that_training_goes_on_from(make_trial):
    trial = make_trial(optimizer_config="adam", scheduler_config="cosine")
    train(trial)
    step, _, state = trial.saved[0]
    assert list(state) == [
        "run_config",
        "metrics",
        "model",
        "optimizer",
        "scheduler",
        "scaler",
        "ema",
        "ema_updates",
        "step",
        "loss_function",
        "running",
        "rng",
        "current_epoch",
        "current_iteration",
        "steps_per_epoch",
        "best_iteration",
        "best_loss",
        "best_value",
        "best_metrics",
        "measured",
    ]
    assert list(state["model"]) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert state["run_config"]["model_config"]["hidden_size"] == 16
    assert state["metrics"] == trial.records[0]
    assert state["current_iteration"] == step == trial.records[0]["current_iteration"]
    assert state["scheduler"]["last_epoch"] == 1
    assert tuple(state["optimizer"]["param_groups"][0]["betas"]) == (0.9, 0.999)


def test_a_checkpoint_has_all_that_going_on_as_if_nothing_had_happened_takes(make_trial):
    trial = make_trial("model_config.dropout=0.5", "eval_epoch=0.5", optimizer_config="adam")
    train(trial)
    first, last = trial.saved[1][2], trial.saved[-1][2]
    # the second epoch by hand, from the checkpoint at the end of the first one
    from hydra.utils import instantiate

    from hpo.training.batches import make_batches

    config = trial.config
    model = instantiate(config.model_config)
    optimizer = instantiate(config.optimizer_config, _convert_="all")(model.parameters())
    model.load_state_dict(first["model"])
    optimizer.load_state_dict(first["optimizer"])
    torch.set_rng_state(first["rng"]["torch"])
    data = instantiate(config.data_config).load(None).train
    batches = make_batches(data, torch.device("cpu"), batch_size=32, shuffle_seed=config.random_seed)
    assert first["current_iteration"] == batches.num_batches
    for inputs, targets in batches.epoch(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    assert all(torch.equal(tensor, last["model"][name]) for name, tensor in model.state_dict().items())


def test_the_log_opens_with_model_device_and_data(make_trial, caplog):
    caplog.set_level(logging.INFO, logger="hpo.train")
    train(make_trial("device=cpu"))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "model MLP with 12730 parameters, 12730 of them trained"
    assert lines[1].startswith("device cpu (")
    assert "1438 training samples, 359 validation samples; 45 steps of 32 samples in each of 2 epochs" in lines[2]


@pytest.mark.parametrize("key", ["model_config", "data_config", "loss_config", "optimizer_config"])
def test_a_node_that_the_loop_needs_and_that_is_none_is_named(make_trial, key):
    with pytest.raises(ConfigError, match=f"{key} has no _target_"):
        train(make_trial(**{key: {}}))


def test_a_metric_cannot_be_called_loss(make_trial):
    with pytest.raises(ConfigError, match=r"metrics\.loss"):
        train(make_trial(metrics={"loss": {"_target_": "torchmetrics.MeanAbsoluteError"}}))


def test_the_digits_are_learned(make_trial):
    trial = make_trial("train_config.epochs=5", "model_config.hidden_size=32")
    assert train(trial)["val_accuracy"] > 0.85


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_cuda_reaches_what_the_cpu_reaches(make_trial):
    values = []
    for device in ("cpu", "cuda"):
        trial = make_trial(f"device={device}")
        values.append(train(trial)["val_loss"])
        assert trial.saved[-1][2]["model"]["fc1.weight"].device.type == device
    assert values[0] == pytest.approx(values[1], rel=1e-3)
