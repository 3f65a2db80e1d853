"""Seeds every generator that training draws from, and keeps their states."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hpo.errors import ConfigError

_MAX_SEED = 2**32 - 1


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, on the CPU and on every CUDA device. Raises ConfigError for a bad seed.

    DataLoader workers need nothing here: torch seeds all three in each from its loader's generator.
    """
    if not 0 <= seed <= _MAX_SEED:
        raise ConfigError(f"random_seed={seed} must lie between 0 and {_MAX_SEED}")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """What draws the order of the data in one epoch: the same wherever training starts from."""
    # a hash of both, since seed + epoch would give neighbouring seeds each other's orders
    state = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> 1))


def rng_state() -> dict[str, Any]:
    """The states of all generators as tensors and plain values, which torch.load takes by default."""
    version, internal, gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=False)
    return {
        "python": [version, list(internal), gauss],
        "numpy": {**numpy_state, "state": {**numpy_state["state"], "key": numpy_state["state"]["key"].tolist()}},
        "torch": torch.get_rng_state(),
        "cuda": _cuda_states(),
    }


def set_rng_state(state: Mapping[str, Any]) -> None:
    """The inverse of `rng_state`, also after `torch.load`; a CUDA device that is not there has no generator."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        for device, cuda_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(cuda_state, device)


def _cuda_states() -> list[torch.Tensor]:
    # asking for them where CUDA is unused would start it; torch has no types for the question
    is_used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.get_rng_state_all() if is_used else []
