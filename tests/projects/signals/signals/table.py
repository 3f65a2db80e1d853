"""A table: numbers and a category in, a number out. Its batches are tuples of two inputs and the target."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from hpo.data.protocol import Splits
from hpo.records import DataSource

NUM_CATEGORIES = 3


class Measurements:
    """Readings of three kinds of sensors; the last fifth of the rows validates."""

    def __init__(self, num_rows: int, seed: int) -> None:
        self.num_rows = num_rows
        self.seed = seed

    def source(self) -> DataSource:
        return DataSource("measurements", hashlib.sha256(f"{self.num_rows} {self.seed}".encode()).hexdigest())

    def load(self, source: DataSource | None) -> Splits:
        rng = np.random.default_rng(self.seed)
        numbers = rng.normal(size=(self.num_rows, 4)).astype(np.float32)
        kinds = rng.integers(NUM_CATEGORIES, size=self.num_rows)
        slopes = rng.normal(size=(NUM_CATEGORIES, 4)).astype(np.float32)
        targets = (numbers * slopes[kinds]).sum(axis=1, keepdims=True)
        columns = [torch.from_numpy(column) for column in (numbers, kinds, targets)]
        num_train = self.num_rows * 4 // 5
        return Splits(
            train=TensorDataset(*(column[:num_train] for column in columns)),
            val=TensorDataset(*(column[num_train:] for column in columns)),
        )


class SensorNet(nn.Module):
    """Numbers (N, 4) and kinds (N,) to one number each, (N, 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kind = nn.Embedding(NUM_CATEGORIES, 4)
        self.layers = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, numbers: Tensor, kinds: Tensor) -> Tensor:
        return self.layers(torch.cat([numbers, self.kind(kinds)], dim=1))
