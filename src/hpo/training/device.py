"""The device that a trial trains on."""

from __future__ import annotations

import torch

from hpo.devices import AUTO, CPU, CUDA
from hpo.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises ConfigError for another name, and for CUDA without any."""
    if name not in (AUTO, CPU, CUDA):
        raise ConfigError(f"device={name!r} is not known; allowed are {AUTO}, {CPU} and {CUDA}")
    if name == CPU or (name == AUTO and not torch.cuda.is_available()):
        return torch.device(CPU)
    if not torch.cuda.is_available():
        raise ConfigError("device=cuda, but torch finds no CUDA device; use device=auto or device=cpu")
    return torch.device(CUDA)
