"""Holds a part of the samples out, drawn by seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpo.errors import DataError


def check_fraction(name: str, value: float) -> None:
    """Raise DataError unless 0 < value < 1."""
    if not 0 < value < 1:
        raise DataError(f"data_config.{name}={value} must lie between 0 and 1, both excluded")


def hold_out(num_samples: int, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The indices that are kept and the `fraction` that is held out, both rising; no part is empty.

    Raises DataError where there are not two samples.
    """
    if num_samples < 2:
        raise DataError(
            f"{num_samples} sample{'s' * (num_samples != 1)} cannot be split into two parts, "
            "as data_config.val_fraction and test_fraction ask for"
        )
    order = np.random.default_rng(seed).permutation(num_samples)
    num_held = min(max(round(num_samples * fraction), 1), num_samples - 1)
    return np.sort(order[num_held:]), np.sort(order[:num_held])
