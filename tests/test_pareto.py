from __future__ import annotations

import math
import random

from hpo.config import Direction
from hpo.objectives import Objective
from hpo.pareto import ParetoSet

LOSS = Objective("val_loss", Direction.min)
ACCURACY = Objective("val_accuracy", Direction.max)


def pareto(*values: tuple[float, float]) -> list[int]:
    made = ParetoSet((LOSS, ACCURACY))
    for number, pair in enumerate(values):
        made.add(number, pair)
    return made.numbers


def test_a_trial_that_is_beaten_never_enters_and_one_that_beats_puts_others_out() -> None:
    assert pareto((0.5, 0.8), (0.6, 0.7)) == [0]
    assert pareto((0.5, 0.8), (0.4, 0.7), (0.4, 0.9)) == [2]
    assert pareto((0.5, 0.8), (0.4, 0.7)) == [0, 1]


def test_being_better_in_one_objective_and_equal_in_the_other_is_enough() -> None:
    assert pareto((0.5, 0.8), (0.5, 0.9)) == [1]
    assert pareto((0.4, 0.8), (0.5, 0.8)) == [0]


def test_equal_trials_stay_together_and_leave_together() -> None:
    assert pareto((0.5, 0.8), (0.5, 0.8)) == [0, 1]
    assert pareto((0.5, 0.8), (0.5, 0.8), (0.4, 0.8)) == [2]


def test_a_value_that_is_not_finite_keeps_a_trial_out() -> None:
    assert pareto((math.nan, 1.0), (-math.inf, 1.0), (0.5, math.inf)) == []


def test_the_set_is_that_of_the_definition_whatever_the_order() -> None:
    drawn = random.Random(7)
    values = [(drawn.randrange(20) / 20, drawn.randrange(20) / 20) for _ in range(300)]
    expected = [
        number
        for number, (loss, accuracy) in enumerate(values)
        if not any(a <= loss and b >= accuracy and (a, b) != (loss, accuracy) for a, b in values)
    ]
    assert pareto(*values) == expected
    backwards = pareto(*reversed(values))
    assert sorted(len(values) - 1 - number for number in backwards) == expected
