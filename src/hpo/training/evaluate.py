"""Evaluates a model once over a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from hpo.training.batches import Batches
from hpo.training.running import Running
from hpo.training.step import TrainingStep


@torch.no_grad()
def evaluate(step: TrainingStep, model: nn.Module, batches: Batches, running: Running) -> dict[str, float]:
    """`loss` and the metrics of `model` in the step's place, weighted by samples."""
    with evaluated(step, model):
        for batch in batches.epoch(0):
            running.add(step.evaluate(batch))
    return running.compute()


@contextmanager
def evaluated(step: TrainingStep, model: nn.Module) -> Iterator[None]:
    """Let the step use `model`, in evaluation mode; afterwards its own, in the mode that it was in."""
    trained, was_training = step.model, model.training
    step.model = model
    model.eval()
    try:
        yield
    finally:
        step.model = trained
        model.train(was_training)
