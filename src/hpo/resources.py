"""What a trial needs of the machine it runs on: `resources_per_trial`, read and checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpo.errors import ConfigError

KEY = "resources_per_trial"
_NAMES = ("cpus", "gpus", "gpu_memory_mb", "memory_mb")
# a share of a GPU is a part with such a denominator, so that three thirds are a whole however they are written
_MAX_PARTS = 1000


@dataclass(frozen=True)
class Need:
    """What one trial holds while it runs; as it stands, nothing: it takes turns with others."""

    cpus: int = 0
    # None: whatever GPU there is, together with others
    gpus: Fraction | None = None
    # on each of its GPUs
    gpu_memory_mb: float = 0.0
    memory_mb: float = 0.0

    @property
    def is_nothing(self) -> bool:
        return self == NOTHING

    @property
    def takes_turns(self) -> bool:
        """Whether it says nothing of GPUs, so that it gets one together with others."""
        return self.gpus is None and not self.gpu_memory_mb

    @property
    def num_gpus(self) -> int:
        """On how many GPUs it holds something."""
        return int(self.gpu_memory_mb > 0) if self.gpus is None else math.ceil(self.gpus)

    @property
    def wants_whole_gpus(self) -> bool:
        return self.gpus is not None and self.gpus >= 1

    @property
    def share(self) -> Fraction:
        """What it takes of each of its GPUs, by count."""
        return min(self.gpus or Fraction(0), Fraction(1))


NOTHING = Need()


def need_of(config: DictConfig) -> Need:
    """What the trial of a composed configuration needs. Raises ConfigError for what nothing can be."""
    values = {name: _value(config, name) for name in _NAMES}
    cpus, gpus, gpu_memory_mb, memory_mb = (values[name] for name in _NAMES)
    if cpus is not None and (cpus < 1 or cpus != int(cpus)):
        raise _mistake("cpus", cpus, "must be a whole number of at least 1, or null")
    if gpus is not None and not _is_number_of_gpus(gpus):
        raise _mistake(
            "gpus", gpus, f"must be a whole number, or a part of one GPU from 1/{_MAX_PARTS} on, or null"
        )
    for name in ("gpu_memory_mb", "memory_mb"):
        value = values[name]
        if value is not None and value <= 0:
            raise _mistake(name, value, "must be above 0, or null")
    if gpu_memory_mb is not None and gpus == 0:
        raise _mistake("gpu_memory_mb", gpu_memory_mb, f"is on no GPU with {KEY}.gpus=0")
    return Need(
        cpus=int(cpus or 0),
        gpus=None if gpus is None else Fraction(gpus).limit_denominator(_MAX_PARTS),
        gpu_memory_mb=float(gpu_memory_mb or 0),
        memory_mb=float(memory_mb or 0),
    )


def is_constant(config: DictConfig) -> bool:
    """Whether all trials that are composed like `config` need the same: no resource is an interpolation."""
    if OmegaConf.is_interpolation(config, KEY):
        return False
    node = config[KEY]
    return not any(OmegaConf.is_interpolation(node, name) for name in _NAMES)


def spelled(value: float | Fraction) -> str:
    """A number as a user would write it."""
    return str(int(value)) if value == int(value) else f"{float(value):g}"


def _value(config: DictConfig, name: str) -> float | None:
    try:
        value: Any = config[KEY][name]
        number = None if value is None else float(value)
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        raise ConfigError(f"{KEY}.{name}: {str(error).splitlines()[0]}") from error
    if number is not None and not math.isfinite(number):
        raise _mistake(name, number, "must be a finite number, or null")
    return number


def _is_number_of_gpus(gpus: float) -> bool:
    return gpus == int(gpus) and gpus >= 0 if gpus >= 1 or gpus <= 0 else gpus >= 1 / _MAX_PARTS


def _mistake(name: str, value: float, said: str) -> ConfigError:
    return ConfigError(f"{KEY}.{name}={spelled(value) if math.isfinite(value) else value} {said}")
