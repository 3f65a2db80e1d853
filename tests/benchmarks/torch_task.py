"""The task of the torch benchmark: ten steps of an MLP on random data."""

from __future__ import annotations

import time
from typing import Any

import torch
from hydra.utils import instantiate

NUM_STEPS, BATCH_SIZE = 10, 32


def train(trial: Any) -> dict[str, float]:
    """Ten steps of the configured model, loss and optimizer."""
    model = instantiate(trial.config.model_config)
    optimizer = instantiate(trial.config.optimizer_config)(model.parameters())
    criterion = instantiate(trial.config.loss_config)
    first_step = time.time()
    loss = steps(model, optimizer, criterion)
    return {"loss": loss, "first_step": first_step}


def steps(model: torch.nn.Module, optimizer: torch.optim.Optimizer, criterion: torch.nn.Module) -> float:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(NUM_STEPS, BATCH_SIZE, 784, generator=generator)
    targets = torch.randint(10, (NUM_STEPS, BATCH_SIZE), generator=generator)
    for batch, labels in zip(inputs, targets, strict=True):
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(batch), labels)
        loss.backward()
        optimizer.step()
    return float(loss)


def warm_seconds() -> float:
    """The steps alone, in a process that has run them before."""
    torch.set_num_threads(1)
    durations = []
    for _ in range(5):
        model = torch.nn.Sequential(torch.nn.Linear(784, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        begun = time.perf_counter()
        steps(model, optimizer, torch.nn.CrossEntropyLoss())
        durations.append(time.perf_counter() - begun)
    return min(durations)
