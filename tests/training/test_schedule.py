from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf

from hpo.errors import ConfigError
from hpo.training.schedule import Schedule

ONE_STEP = {"steps_per_epoch": 1, "total_steps": 1}


def learning_rates(node, num_steps, steps_per_epoch):
    """The learning rate of each step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = Schedule(
        OmegaConf.create(node), [optimizer], steps_per_epoch=steps_per_epoch, total_steps=num_steps
    )
    rates = []
    for iteration in range(1, num_steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step(iteration)
    return rates


def node(name, **arguments):
    return {"_target_": f"torch.optim.lr_scheduler.{name}", "_partial_": True, **arguments}


def test_a_scheduler_counts_epochs_unless_told_otherwise():
    assert learning_rates(node("StepLR", step_size=2, gamma=0.5), 8, 2) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    assert learning_rates(node("StepLR", step_size=2, gamma=0.5, interval="epoch"), 6, 2) == [1, 1, 1, 1, 0.5, 0.5]


def test_a_scheduler_can_count_steps():
    assert learning_rates(node("StepLR", step_size=2, gamma=0.5, interval="step"), 4, 2) == [1, 1, 0.5, 0.5]


def test_partial_may_be_left_out():
    given = node("StepLR", step_size=1, gamma=0.5)
    del given["_partial_"]
    assert learning_rates(given, 2, 1) == [1, 0.5]


@pytest.mark.parametrize("nothing", [{}, None])
def test_a_node_without_a_target_is_none(nothing):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = Schedule(None if nothing is None else OmegaConf.create(nothing), [optimizer], **ONE_STEP)
    schedule.step(1)
    assert schedule.state_dict() is None
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_the_state_is_the_schedulers():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = Schedule(OmegaConf.create(node("StepLR", step_size=2)), [optimizer], **ONE_STEP)
    optimizer.step()
    schedule.step(1)
    assert schedule.state_dict()["last_epoch"] == 1


def test_an_unknown_interval_names_those_there_are():
    with pytest.raises(ConfigError, match="interval='batch' is not known; allowed are epoch, step and evaluation"):
        learning_rates(node("StepLR", step_size=2, interval="batch"), 1, 1)


@pytest.mark.parametrize("missing", ["interval", "metric"])
def test_a_scheduler_that_steps_by_a_metric_needs_to_know_which_and_when(missing):
    given = node("ReduceLROnPlateau", interval="evaluation", metric="val_loss")
    del given[missing]
    with pytest.raises(ConfigError, match="it needs interval: evaluation and metric: val_loss"):
        learning_rates(given, 1, 1)


def test_a_metric_is_for_a_scheduler_that_steps_by_one():
    with pytest.raises(ConfigError, match=r"scheduler_config\.metric=val_loss is for ReduceLROnPlateau alone"):
        learning_rates(node("StepLR", step_size=1, interval="evaluation", metric="val_loss"), 1, 1)


def plateau(**arguments):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    given = node(
        "ReduceLROnPlateau", interval="evaluation", metric="val_loss", patience=0, factor=0.5, **arguments
    )
    return optimizer, Schedule(OmegaConf.create(given), [optimizer], **ONE_STEP)


def test_a_plateau_lowers_the_learning_rate_when_evaluations_get_no_better():
    optimizer, schedule = plateau()
    rates = []
    for val_loss in (1.0, 0.5, 0.6, 0.7, 0.4):
        optimizer.step()
        schedule.step(1)
        schedule.evaluated({"train_loss": 0.0, "val_loss": val_loss})
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1, 1, 0.5, 0.25, 0.25]


def test_a_metric_that_no_evaluation_has_names_those_there_are():
    _, schedule = plateau()
    message = "scheduler_config.metric=val_loss is not measured; there are: train_loss, train_accuracy"
    with pytest.raises(ConfigError, match=message):
        schedule.evaluated({"train_loss": 0.0, "train_accuracy": 0.0})


def test_auto_is_the_number_of_steps_of_the_training():
    one_cycle = node("OneCycleLR", max_lr=1.0, total_steps="auto", interval="step", cycle_momentum=False)
    assert learning_rates(one_cycle, 10, 5) == learning_rates({**one_cycle, "total_steps": 10}, 10, 5)


@pytest.mark.parametrize(("interval", "num_steps"), [("epoch", 2), ("step", 8)])
def test_auto_is_the_length_of_a_cosine_in_its_own_steps(interval, num_steps):
    cosine = node("CosineAnnealingLR", T_max="auto", interval=interval)
    assert learning_rates(cosine, 8, 4) == learning_rates({**cosine, "T_max": num_steps}, 8, 4)


def test_a_warm_up_rises_in_a_line_and_a_cosine_falls_to_its_end():
    warm_up = {"_target_": "hpo.training.schedulers.warm_up_cosine", "interval": "step", "total_steps": "auto"}
    rates = learning_rates({**warm_up, "warm_up_fraction": 0.5, "start_factor": 0.0}, 8, 8)
    assert rates[:5] == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert rates[5:] == pytest.approx([0.8535534, 0.5, 0.1464466])
    kept = learning_rates({**warm_up, "warm_up_fraction": 0.25, "end_factor": 1.0}, 8, 8)
    assert kept[2:] == [1.0] * 6


def test_a_warm_up_of_the_whole_training_is_refused():
    warm_up = {"_target_": "hpo.training.schedulers.warm_up_cosine", "total_steps": 4, "warm_up_fraction": 1}
    with pytest.raises(
        ConfigError, match=r"scheduler_config\.warm_up_fraction=1 must be at least 0 and less than 1"
    ):
        learning_rates(warm_up, 4, 4)


def test_every_optimizer_has_its_schedule():
    optimizers = [torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr) for lr in (1.0, 0.1)]
    schedule = Schedule(OmegaConf.create(node("StepLR", step_size=1, gamma=0.5)), optimizers, **ONE_STEP)
    for optimizer in optimizers:
        optimizer.step()
    schedule.step(1)
    assert [optimizer.param_groups[0]["lr"] for optimizer in optimizers] == [0.5, 0.05]
    assert [state["last_epoch"] for state in schedule.state_dict()] == [1, 1]
