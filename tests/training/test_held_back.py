"""The evaluation of the best checkpoint on data held back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hpo.errors import TrialError
from hpo.training import test as held_back
from hpo.training.loop import train
from tests.training.toy_problem import Linear, samples

LINE = {
    "data_config": {"_target_": "tests.training.toy_problem.Line"},
    "model_config": {"_target_": "tests.training.toy_problem.Linear"},
    "loss_config": {"_target_": "torch.nn.MSELoss"},
    "metrics": {"error": {"_target_": "torchmetrics.MeanAbsoluteError"}},
}


def test_the_best_checkpoint_is_evaluated_on_the_test_data(make_trial):
    trial = make_trial("train_config.eval_batch_size=2", **LINE)
    best_iteration = train(trial)["best_iteration"]
    metrics = held_back.test(trial)
    model = Linear()
    model.load_state_dict(next(state for step, _, state in trial.saved if step == best_iteration)["model"])
    inputs, targets = samples(5, seed=2)
    assert list(metrics) == ["test_loss", "test_error"]
    assert metrics["test_loss"] == pytest.approx(nn.functional.mse_loss(model(inputs), targets).item())
    assert metrics["test_error"] == pytest.approx((model(inputs) - targets).abs().mean().item())


def test_evaluating_again_gives_the_same(make_trial):
    trial = make_trial(**LINE)
    train(trial)
    first = held_back.test(trial)
    torch.rand(3)
    assert held_back.test(trial) == first


def test_without_a_checkpoint_the_error_names_the_folder(make_trial):
    trial = make_trial(**LINE)
    with pytest.raises(TrialError, match=r"no checkpoint to test in .*best_checkpoints"):
        held_back.test(trial)


def test_data_that_holds_nothing_back_gives_nothing(make_trial):
    trial = make_trial()
    train(trial)
    assert held_back.test(trial) == {}
