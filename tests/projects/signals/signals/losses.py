"""A loss that torch does not have."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LogCosh(nn.Module):
    """The mean of log(cosh(error)): squared for small errors, absolute for large ones."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        error = (outputs - targets) / self.scale
        return (error + nn.functional.softplus(-2 * error) - torch.log(torch.tensor(2.0))).mean()
