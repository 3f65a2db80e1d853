"""A step with a regularizer of its own."""

from __future__ import annotations

from typing import Any

from hpo.training.step import Result, TrainingStep


class Sparse(TrainingStep):
    """Adds `l1` times the sum of all parameters' magnitudes to the loss, and records the sum as `magnitude`."""

    def __init__(self, l1: float, target_key: str = "target") -> None:
        super().__init__(target_key)
        self.l1 = l1

    def compute_loss(self, batch: Any) -> Result:
        result = super().compute_loss(batch)
        magnitude = sum(parameter.abs().sum() for parameter in self.model.parameters())
        loss = result.loss + self.l1 * magnitude
        return Result(loss, result.outputs, result.targets, scalars={"magnitude": magnitude})
