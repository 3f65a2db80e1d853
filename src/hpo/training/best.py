"""Keeps the best evaluation so far."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hpo.config import Direction
from hpo.objectives import Objective


class Best:
    """The first objective chooses the best iteration; `loss` is the lowest loss, wherever that was."""

    def __init__(self, objective: Objective) -> None:
        self.iteration = 0
        self.loss = math.inf
        self.value = math.inf if objective.direction is Direction.min else -math.inf
        self.metrics: dict[str, float] = {}
        self._objective = objective

    def update(self, measured: Mapping[str, float], loss: float, iteration: int) -> bool:
        """Take in an evaluation; whether it is the best one. NaN never is."""
        if loss < self.loss:
            self.loss = loss
        value = measured.get(self._objective.name, math.nan)
        if not self._objective.is_better(value, than=self.value):
            return False
        self.value, self.iteration, self.metrics = value, iteration, dict(measured)
        return True

    def record(self) -> dict[str, float | int]:
        """best_iteration, best_loss, and the first objective's best value when it is another one."""
        record: dict[str, float | int] = {"best_iteration": self.iteration, "best_loss": self.loss}
        name = self._objective.name.removeprefix("val_")
        return record if name == "loss" else record | {f"best_{name}": self.value}
