"""Which parameters an optimizer gets, in which groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn


def all_parameters(model: nn.Module) -> Iterable[nn.Parameter]:
    """All of them, with the optimizer's values."""
    return model.parameters()


def no_decay_on_norms_and_biases(model: nn.Module) -> list[dict[str, Any]]:
    """Two groups, the second without weight decay: parameters of one dimension, which norms and biases have.

    Decaying them does not regularize (Loshchilov and Hutter's AdamW leaves it open; He et al., "Bag of Tricks",
    arXiv:1812.01187, section 3.1, name it "no bias decay").
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.ndim > 1]},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
