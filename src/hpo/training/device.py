"""The device that a trial trains on."""

from __future__ import annotations

import os

import torch
from omegaconf import DictConfig

from hpo.devices import AUTO, CPU, CUDA
from hpo.errors import ConfigError
from hpo.resources import need_of


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises ConfigError for another name, and for CUDA without any."""
    if name not in (AUTO, CPU, CUDA):
        raise ConfigError(f"device={name!r} is not known; allowed are {AUTO}, {CPU} and {CUDA}")
    if name == CPU or (name == AUTO and not torch.cuda.is_available()):
        return torch.device(CPU)
    if not torch.cuda.is_available():
        raise ConfigError("device=cuda, but torch finds no CUDA device; use device=auto or device=cpu")
    return torch.device(CUDA)


def check_gpu(config: DictConfig) -> None:
    """Raise ConfigError where the GPU is missing that a trial has asked for.

    That shows where it trains: the machine of its scheduler, which checks what is built, may have none.
    """
    if config.device == AUTO and need_of(config).num_gpus and not torch.cuda.is_available():
        raise ConfigError(
            f"resources_per_trial asks for a GPU, and torch {torch.__version__} finds none here "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')}); device=cpu trains without"
        )
