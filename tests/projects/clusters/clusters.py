"""Points around the corners of a square, which is their class: trainings that take a tenth of a second."""

from __future__ import annotations

import hashlib

import torch
from torch.utils.data import TensorDataset

from hpo.data.protocol import Splits
from hpo.records import DataSource

CORNERS = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])


class Clusters:
    """The data module: points (N, 2), a quarter as many to validate with."""

    def __init__(self, num_points: int, seed: int) -> None:
        self.num_points = num_points
        self.seed = seed

    def source(self) -> DataSource:
        return DataSource("clusters", hashlib.sha256(f"{self.num_points} {self.seed}".encode()).hexdigest())

    def load(self, source: DataSource | None) -> Splits:
        return Splits(self._drawn(self.num_points, self.seed), self._drawn(self.num_points // 4, self.seed + 1))

    def _drawn(self, num_points: int, seed: int) -> TensorDataset:
        generator = torch.Generator().manual_seed(seed)
        classes = torch.randint(len(CORNERS), (num_points,), generator=generator)
        return TensorDataset(CORNERS[classes] + torch.randn(num_points, 2, generator=generator), classes)
