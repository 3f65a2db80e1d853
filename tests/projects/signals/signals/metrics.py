"""A metric that torchmetrics does not have."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class WorstClassAccuracy(Metric):
    """The accuracy on the class on which it is lowest, among those seen."""

    full_state_update = False

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.add_state("right", torch.zeros(num_classes), dist_reduce_fx="sum")
        self.add_state("seen", torch.zeros(num_classes), dist_reduce_fx="sum")

    def update(self, scores: Tensor, labels: Tensor) -> None:
        is_right = (scores.argmax(1) == labels).float()
        self.right.index_add_(0, labels, is_right)
        self.seen.index_add_(0, labels, torch.ones_like(is_right))

    def compute(self) -> Tensor:
        seen = self.seen > 0
        return (self.right[seen] / self.seen[seen]).min()
