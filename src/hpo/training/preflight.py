"""Builds what the loop trains with, once before the first trial, and tries it on a batch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, flag_override
from torch import Tensor, nn

from hpo.errors import ConfigError, DataError, HpoError, spelled
from hpo.objectives import objectives
from hpo.targets import TRAINING_LOOP
from hpo.training.batches import Batches, TensorBatches
from hpo.training.best import Best
from hpo.training.evaluate import evaluate
from hpo.training.setup import Setup, set_up
from hpo.training.step import Batch, Result, described
from hpo.training.stopping import Stopping

_CLASS_LOSSES = (nn.CrossEntropyLoss, nn.NLLLoss)


class OneBatch:
    """The first batch of others."""

    num_batches = 1

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self.num_samples = batches.num_samples

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        return islice(self._batches.epoch(epoch), skip, self.num_batches)

    def whole(self) -> Batches:
        return self


def check(config: DictConfig) -> list[str] | None:
    """The names of the metrics that an evaluation measures; None for a task that is not the training loop.

    Raises HpoError for what cannot be built, and for a batch that the model, the loss or the metrics cannot take.
    """
    if config.task is not None and config.task.get("_target_") != TRAINING_LOOP:
        return None
    # a copy: where there is no other process, the trial's own configuration is the one that is checked
    config = config.copy()
    with flag_override(config, ["struct", "readonly"], False):
        OmegaConf.update(config, "train_config.compile", False)  # it takes longer than all the rest
    Stopping.of(config, objectives(config)[0])
    with _quiet():
        setup = set_up(config)
    for part, batches in (("training", setup.train), ("validation", setup.val)):
        if batches is not None:
            _check_values(part, batches)
    batch = next(iter(setup.train.epoch(1)))
    results = _tried(config, batch, lambda: setup.step.take([batch]))
    _check_loss(batch, results)
    _check_classes(setup, results[0].outputs)
    for result in results:
        setup.running.add(result)
    measured = {f"train_{name}": value for name, value in setup.running.compute().items()}
    if setup.val is not None:
        measured |= _evaluated(config, setup, setup.val)
    setup.schedule.evaluated(measured)
    best = Best(objectives(config)[0])
    return [*measured, *best.record()]


@contextmanager
def _quiet() -> Iterator[None]:
    """Let what a trial's log begins with be for trials."""
    logger = logging.getLogger("hpo.train")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _evaluated(config: DictConfig, setup: Setup, val: Batches) -> dict[str, float]:
    one = OneBatch(val)
    values = _tried(
        config, next(iter(val.epoch(0))), lambda: evaluate(setup.step, setup.evaluated, one, setup.evaluation)
    )
    return {f"val_{name}": value for name, value in values.items()}


def _tried(config: DictConfig, batch: Batch, call: Any) -> Any:
    try:
        with warnings.catch_warnings():
            # shapes that torch would compare all the same, each number with all others
            warnings.filterwarnings("error", message="Using a target size")
            return call()
    except HpoError:
        raise
    except Exception as error:
        raise ConfigError(
            f"model_config ({config.model_config._target_}) fails on a batch ({_shapes(batch)}): {spelled(error)}"
        ) from error


def _check_values(part: str, batches: Batches) -> None:
    """No number among what is held in memory is missing, or one that is not."""
    if not isinstance(batches, TensorBatches):
        return
    for tensor in batches.tensors:
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            num_bad = int((~torch.isfinite(tensor)).sum())
            raise DataError(
                f"data_config: the {part} data ({described(tensor)}) has {num_bad} values that are NaN or infinite"
            )


def _check_loss(batch: Batch, results: list[Result]) -> None:
    """The loss before any training is a number: with NaN in what a DataLoader gives it is none."""
    losses = torch.stack([result.loss.detach() for result in results])
    if not bool(torch.isfinite(losses).all()):
        raise ConfigError(
            f"loss_config: the loss of the first batch ({_shapes(batch)}) is {float(losses[0])} before any "
            "training; look for NaN in the data, and at what the loss is given"
        )


def _check_classes(setup: Setup, outputs: Any) -> None:
    """Every label is one that the outputs have a score for: CUDA would not tell which one is not."""
    loss_function = setup.step.loss_function
    if not isinstance(loss_function, _CLASS_LOSSES) or not isinstance(outputs, Tensor) or outputs.ndim < 2:
        return
    num_classes = outputs.shape[1]
    for part, batches in (("training", setup.train), ("validation", setup.val)):
        targets = batches.tensors[-1] if isinstance(batches, TensorBatches) else None
        if targets is None or targets.is_floating_point():
            continue
        wanted = targets[targets != loss_function.ignore_index]
        if len(wanted) and not (int(wanted.min()) >= 0 and int(wanted.max()) < num_classes):
            raise DataError(
                f"data_config: the {part} data has labels from {int(wanted.min())} to {int(wanted.max())}, but "
                f"model_config gives scores of {num_classes} classes: 0 to {num_classes - 1}"
            )


def _shapes(batch: Batch) -> str:
    if isinstance(batch, dict):
        return ", ".join(f"{key}: {described(value)}" for key, value in batch.items())
    return ", ".join(described(value) for value in batch) if isinstance(batch, tuple | list) else described(batch)
