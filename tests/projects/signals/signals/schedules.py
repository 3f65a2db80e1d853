"""A learning-rate scheduler of its own."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class InverseSquareRoot(LambdaLR):
    """Keeps the learning rate for `hold` steps, then lowers it with one over the square root of their number."""

    def __init__(self, optimizer: Optimizer, hold: int) -> None:
        super().__init__(optimizer, lambda step: (max(step + 1, hold) / hold) ** -0.5)
