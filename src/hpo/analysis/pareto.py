"""The Pareto front of several objectives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def on_front(values: ArrayLike, are_min: Sequence[bool]) -> NDArray[np.bool_]:
    """Which rows no other beats in one objective without losing in another; rows that are not finite are not."""
    costs = np.array(values, dtype=float) * np.where(are_min, 1.0, -1.0)
    is_front = np.zeros(len(costs), dtype=bool)
    front: list[int] = []
    finite = np.flatnonzero(np.isfinite(costs).all(axis=1))
    # in lexicographic order no later row can dominate an earlier one
    for index in finite[np.lexsort(costs[finite].T[::-1])]:
        cost = costs[index]
        kept = costs[front]
        if not ((kept <= cost).all(axis=1) & (kept < cost).any(axis=1)).any():
            front.append(int(index))
    is_front[front] = True
    return is_front
