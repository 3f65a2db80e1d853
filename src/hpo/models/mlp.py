"""A multilayer perceptron with one hidden layer."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


class MLP(nn.Module):
    """Maps (N, *) with `input_size` values per sample to class scores (N, num_classes)."""

    def __init__(self, input_size: int, hidden_size: int, num_classes: int, dropout: float | None = None) -> None:
        super().__init__()
        self.fc1 = nn.Linear(input_size, hidden_size)
        # nn.Dropout(0) would draw random numbers all the same
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.fc2 = nn.Linear(hidden_size, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.fc1(inputs.flatten(start_dim=1)).relu()
        return cast(Tensor, self.fc2(self.dropout(hidden)))
