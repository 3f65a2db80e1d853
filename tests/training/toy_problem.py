"""A problem small enough to be computed by hand, and data modules that lack something."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from hpo.data.protocol import Splits
from hpo.records import DataSource


def samples(num: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points of a noisy line."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(num, 1, generator=generator)
    return inputs, 3 * inputs + 1 + 0.1 * torch.rand(num, 1, generator=generator)


class Items(Dataset):
    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]


class Line:
    """`num_train` points, of which an epoch of batches of 4 has a smaller last one; 7 that validate."""

    def __init__(self, num_train: int = 10, has_val: bool = True, is_loaded: bool = False) -> None:
        self.num_train, self.has_val = num_train, has_val
        self.kind = Items if is_loaded else TensorDataset

    def load(self, source: DataSource | None) -> Splits:
        val = self.kind(*samples(7, seed=1)) if self.has_val else None
        return Splits(train=self.kind(*samples(self.num_train)), val=val, test=self.kind(*samples(5, seed=2)))


class Linear(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(self.dropout(inputs))


class Counting(nn.Module):
    """A loss that is the number of its calls in training, and `val_losses` in turn in evaluation."""

    def __init__(self, val_losses: list[float]) -> None:
        super().__init__()
        self.num_calls, self.val_losses = 0, list(val_losses)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return torch.tensor(self.val_losses.pop(0))
        self.num_calls += 1
        return outputs.sum() * 0 + self.num_calls
