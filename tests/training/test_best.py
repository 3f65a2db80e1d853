from __future__ import annotations

import math

from hpo.config import Direction
from hpo.objectives import Objective
from hpo.training.best import Best


def test_before_the_first_evaluation_nothing_is_best():
    assert Best(Objective("val_loss", Direction.min)).record() == {"best_iteration": 0, "best_loss": math.inf}
    record = Best(Objective("val_accuracy", Direction.max)).record()
    assert record == {"best_iteration": 0, "best_loss": math.inf, "best_accuracy": -math.inf}


def test_the_first_objective_chooses_the_iteration_and_the_loss_its_own_minimum():
    best = Best(Objective("val_accuracy", Direction.max))
    assert best.update({"val_loss": 1.0, "val_accuracy": 0.5}, 1.0, 10)
    assert not best.update({"val_loss": 0.5, "val_accuracy": 0.4}, 0.5, 20)
    assert best.update({"val_loss": 0.7, "val_accuracy": 0.6}, 0.7, 30)
    assert best.record() == {"best_iteration": 30, "best_loss": 0.5, "best_accuracy": 0.6}
    assert best.metrics == {"val_loss": 0.7, "val_accuracy": 0.6}


def test_of_equal_values_the_earlier_is_best():
    best = Best(Objective("val_loss", Direction.min))
    assert best.update({"val_loss": 1.0}, 1.0, 10)
    assert not best.update({"val_loss": 1.0}, 1.0, 20)


def test_nan_is_never_best_and_never_hides_a_number():
    best = Best(Objective("val_loss", Direction.min))
    assert not best.update({"val_loss": math.nan}, math.nan, 10)
    assert best.update({"val_loss": 3.0}, 3.0, 20)
    assert not best.update({"val_loss": math.nan}, math.nan, 30)
    assert best.record() == {"best_iteration": 20, "best_loss": 3.0}


def test_an_objective_that_was_not_measured_is_never_best():
    assert not Best(Objective("val_f1", Direction.max)).update({"val_loss": 1.0}, 1.0, 10)
