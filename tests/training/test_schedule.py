from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf

from hpo.errors import ConfigError
from hpo.training.schedule import Schedule


def learning_rates(node, num_steps, steps_per_epoch):
    """The learning rate of each step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = Schedule(OmegaConf.create(node), optimizer, steps_per_epoch)
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
    schedule = Schedule(None if nothing is None else OmegaConf.create(nothing), optimizer, 1)
    schedule.step(1)
    assert schedule.state_dict() is None
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_the_state_is_the_schedulers():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = Schedule(OmegaConf.create(node("StepLR", step_size=2)), optimizer, 1)
    optimizer.step()
    schedule.step(1)
    assert schedule.state_dict()["last_epoch"] == 1


def test_an_unknown_interval_names_those_there_are():
    with pytest.raises(ConfigError, match="interval='batch' is not known; allowed are epoch and step"):
        learning_rates(node("StepLR", step_size=2, interval="batch"), 1, 1)


def test_a_scheduler_that_steps_by_a_metric_is_refused():
    with pytest.raises(ConfigError, match="ReduceLROnPlateau steps by a metric"):
        learning_rates(node("ReduceLROnPlateau"), 1, 1)
