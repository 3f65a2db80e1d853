"""The optimization history: the best value so far, trial by trial."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def best_so_far(values: ArrayLike, *, is_min: bool) -> Floats:
    """The best of the values up to each; what is not finite is passed over, NaN as long as none was finite."""
    array = np.array(values, dtype=float)
    array[~np.isfinite(array)] = np.nan
    return np.fmin.accumulate(array) if is_min else np.fmax.accumulate(array)
