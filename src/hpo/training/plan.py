"""At which optimizer steps the loop evaluates and logs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from omegaconf import DictConfig

from hpo.errors import ConfigError

# 0.1 epochs of 10 steps, three times, are not quite 3 steps in floating point
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Due:
    """The first step at or after each multiple of `every_steps` (at least 1), and the last one, `total`.

    A step is looked at when it comes: a long training has millions of them.
    """

    every_steps: float
    total: int

    def __contains__(self, step: int) -> bool:
        count = math.floor((step + _ROUNDING) / self.every_steps)
        return step == self.total or (count > 0 and math.ceil(count * self.every_steps - _ROUNDING) == step)


@dataclass(frozen=True)
class Plan:
    """Steps are counted from 1; `evaluate` and `log` both hold the last one. A step takes `batches_per_step`."""

    epochs: int
    steps_per_epoch: int
    evaluate: Due
    log: Due
    histograms: Due | None = None
    batches_per_step: int = 1

    @classmethod
    def of(cls, config: DictConfig, batches_per_epoch: int) -> Plan:
        epochs = config.train_config.epochs
        batches_per_step = config.train_config.accumulate_batches
        steps_per_epoch = math.ceil(batches_per_epoch / batches_per_step)
        every = config.histogram_epoch
        return cls(
            epochs,
            steps_per_epoch,
            evaluate=_due("eval_epoch", config.eval_epoch, epochs, steps_per_epoch),
            log=_due("log_epoch", config.log_epoch, epochs, steps_per_epoch),
            histograms=_due("histogram_epoch", every, epochs, steps_per_epoch) if every is not None else None,
            batches_per_step=batches_per_step,
        )

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch


def check_train_config(config: DictConfig) -> None:
    """Raise ConfigError for a count that is not positive."""
    for key in ("batch_size", "accumulate_batches", "eval_batch_size", "epochs"):
        if config[key] < 1:
            raise ConfigError(f"train_config.{key}={config[key]} must be at least 1")
    if config.num_workers < 0:
        raise ConfigError(f"train_config.num_workers={config.num_workers} must be at least 0")
    if config.clip_grad_norm is not None and not config.clip_grad_norm > 0:
        raise ConfigError(f"train_config.clip_grad_norm={config.clip_grad_norm} must be above 0, or null")


def _due(key: str, every_epochs: float, epochs: int, steps_per_epoch: int) -> Due:
    if not every_epochs > 0:
        raise ConfigError(f"{key}={every_epochs} must be above 0; it counts epochs, and 0.5 is twice in each")
    return Due(max(every_epochs * steps_per_epoch, 1.0), epochs * steps_per_epoch)
