"""Who ran when: the slots of an experiment, and how busy they were."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpo.analysis.history import Floats


def slots(started: ArrayLike, ended: ArrayLike) -> NDArray[np.int64]:
    """A slot for each trial, by its times in seconds: in none do two run at once, and there are as few as can be.

    A trial takes the lowest slot that is free at its start, as the scheduler fills them.
    """
    begins, ends = np.asarray(started, dtype=float), np.asarray(ended, dtype=float)
    chosen = np.zeros(len(begins), dtype=np.int64)
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    num_slots = 0
    for index in np.argsort(begins, kind="stable"):
        while busy and busy[0][0] <= begins[index]:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if not free:
            free.append(num_slots)
            num_slots += 1
        chosen[index] = heapq.heappop(free)
        heapq.heappush(busy, (max(ends[index], begins[index]), int(chosen[index])))
    return chosen


def occupancy(started: ArrayLike, ended: ArrayLike) -> tuple[Floats, Floats]:
    """Times, and how many trials run from each of them until the next."""
    begins, ends = np.asarray(started, dtype=float), np.asarray(ended, dtype=float)
    moments = np.concatenate([begins, ends])
    changes = np.concatenate([np.ones(len(begins)), -np.ones(len(ends))])
    times, index = np.unique(moments, return_inverse=True)
    return times, np.cumsum(np.bincount(index, weights=changes, minlength=len(times)))


def busy_share(started: ArrayLike, ended: ArrayLike, num_slots: int) -> float:
    """Which part of the slots' time, from the first start to the last end, trials ran; NaN of no time at all."""
    begins, ends = np.asarray(started, dtype=float), np.asarray(ended, dtype=float)
    if not len(begins) or num_slots < 1:
        return float("nan")
    span = float(ends.max() - begins.min())
    return float((ends - begins).sum() / (span * num_slots)) if span > 0 else float("nan")
