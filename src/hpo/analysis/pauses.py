"""Stretches in which no trial ran, cut out of a time axis: what went on a week later stays readable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpo.counted import counted

# a pause is longer than this part of all the time in which trials ran, and is drawn as wide as that part of it
_LEAST, _DRAWN = 0.5, 0.03
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


@dataclass(frozen=True)
class Pauses:
    """Where pauses begin and end, in seconds since the first start, and how long each is drawn."""

    begins: NDArray[np.float64]
    ends: NDArray[np.float64]
    drawn_s: float

    def cut(self, times: ArrayLike) -> NDArray[np.float64]:
        """Times in seconds since the first start, without what the pauses before them are too long by."""
        moments = np.asarray(times, dtype=np.float64)
        too_long = np.concatenate([[0.0], np.cumsum(self.ends - self.begins - self.drawn_s)])
        shifted: NDArray[np.float64] = moments - too_long[np.searchsorted(self.ends, moments, side="right")]
        return shifted

    @property
    def shown(self) -> list[tuple[float, float]]:
        """For each pause the middle of where it is drawn, and its length, both in seconds."""
        starts = self.cut(self.begins)
        return [
            (float(start + self.drawn_s / 2), float(length))
            for start, length in zip(starts, self.ends - self.begins, strict=True)
        ]


def pauses(started: ArrayLike, ended: ArrayLike) -> Pauses:
    """The pauses between trials that ran from `started` to `ended` (seconds since the first start)."""
    begins, ends = np.asarray(started, dtype=np.float64), np.asarray(ended, dtype=np.float64)
    order = np.argsort(begins, kind="stable")
    begins, reached = begins[order], np.maximum.accumulate(ends[order])
    gaps = np.maximum(begins[1:] - reached[:-1], 0.0)
    worked = float(reached[-1] - gaps.sum()) if len(begins) else 0.0
    is_pause = gaps > _LEAST * worked
    return Pauses(reached[:-1][is_pause], begins[1:][is_pause], _DRAWN * worked)


def told(shown: Sequence[tuple[float, float]]) -> str:
    """How many pauses there are and how long they are together; empty without one."""
    if not shown:
        return ""
    whole = length(sum(each for _, each in shown))
    return f"{counted(len(shown), 'pause')} of {'together ' * (len(shown) > 1)}{whole}"


def length(seconds: float) -> str:
    """A pause's length, as short as a mark in a figure has room for."""
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if seconds >= scale), (1.0, "s"))
    return f"{seconds / scale:.3g} {unit}"
