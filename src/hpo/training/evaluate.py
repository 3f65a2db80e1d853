"""Evaluates a model once over a dataset."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hpo.training.batches import Batches
from hpo.training.running import Running


@torch.no_grad()
def evaluate(
    model: nn.Module, loss_function: Callable[[Tensor, Tensor], Tensor], batches: Batches, running: Running
) -> dict[str, float]:
    """`loss` and the metrics, weighted by samples; the model is left in training mode if it was in it."""
    was_training = model.training
    model.eval()
    for inputs, targets in batches.epoch(0):
        outputs = model(inputs)
        running.add(loss_function(outputs, targets), outputs, targets)
    model.train(was_training)
    return running.compute()
