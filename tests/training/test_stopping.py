"""When a trial ends before its last epoch, through the loop."""

from __future__ import annotations

import math

import pytest
from omegaconf import OmegaConf

from hpo.config import Direction, RunConfig
from hpo.errors import ConfigError
from hpo.objectives import Objective
from hpo.records import State
from hpo.training.best import Best
from hpo.training.loop import train
from hpo.training.stopping import Stopping
from tests.training.test_loop import BATCHES_OF_4, column, counting

NAN, INF = math.nan, math.inf


def test_a_loss_that_is_no_number_any_more_ends_a_trial_that_keeps_its_best(make_trial):
    trial = make_trial(*BATCHES_OF_4, **counting(1.0, INF, 0.5))
    finish = train(trial)
    assert column(trial, "val_loss") == [1.0, INF]
    assert finish.metrics["val_loss"] == 1.0
    assert (finish.state, finish.reason) == (State.PRUNED_POOR_PERFORMANCE, "diverged: val_loss is inf")


def test_a_trial_far_worse_than_its_best_has_diverged_once_it_is_warm(make_trial):
    losses = (1.0, 4.0, 4.0, 4.0)
    trial = make_trial(*BATCHES_OF_4, "train_config.epochs=4", "divergence_factor=2.5", **counting(*losses))
    trial.config.warm_up_epochs = 2.0
    finish = train(trial)
    assert column(trial, "val_loss") == [1.0, 4.0, 4.0]
    assert finish.state is State.PRUNED_POOR_PERFORMANCE
    assert finish.reason == (
        "diverged: val_loss is 4 and was 1 at iteration 3, worse by more than divergence_factor=2.5"
    )


def test_a_trial_that_does_not_get_better_is_stopped_early_and_complete(make_trial):
    trial = make_trial(
        *BATCHES_OF_4, "train_config.epochs=4", "early_stopping_iter=3", **counting(1.0, 2.0, 2.0, 0.5)
    )
    finish = train(trial)
    assert column(trial, "val_loss") == [1.0, 2.0, 2.0]
    assert finish.metrics["best_iteration"] == 3
    assert finish.state is State.COMPLETE
    assert finish.reason == (
        "stopped early: val_loss has not got better since iteration 3, "
        "more than early_stopping_iter=3 iterations ago"
    )


@pytest.mark.parametrize("key", ["early_stopping_iter", "divergence_factor", "warm_up_epochs"])
def test_a_bound_below_zero_is_refused(key):
    config = OmegaConf.structured(RunConfig)
    OmegaConf.update(config, key, -1)
    with pytest.raises(ConfigError, match=rf"{key}=-1(\.0)? must be at least 0"):
        Stopping.of(config, Objective("val_loss", Direction.min))


def test_an_objective_that_is_to_rise_diverges_downwards():
    objective = Objective("val_accuracy", Direction.max)
    stopping = Stopping(objective, None, divergence_factor=0.5, warm_up_epochs=0.0)
    best = Best(objective)
    best.update({"val_accuracy": 0.8}, loss=1.0, iteration=1)
    assert stopping.divergence({"val_accuracy": 0.41}, best, epochs=1) is None
    assert stopping.divergence({"val_accuracy": 0.39}, best, epochs=1) is not None
    assert stopping.divergence({"val_accuracy": 2.0}, best, epochs=1) is None


def test_a_best_of_zero_is_measured_against_the_smallest_scale():
    objective = Objective("val_loss", Direction.min)
    stopping = Stopping(objective, None, divergence_factor=2.0, warm_up_epochs=0.0)
    best = Best(objective)
    best.update({"val_loss": 0.0}, loss=0.0, iteration=1)
    assert stopping.divergence({"val_loss": 1.9e-5}, best, epochs=1) is None
    assert stopping.divergence({"val_loss": 2.1e-5}, best, epochs=1) is not None
