"""How far two groups of values lie apart, and what many comparisons leave of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

TOO_FEW = "too few values for a test"
NO_SPREAD = "no spread: nothing to test"
_Z = 1.959963984540054  # of 95 %


@dataclass(frozen=True)
class Effect:
    """Hedges' g of one group against another, its 95 % interval, and the p-value of Welch's t-test.

    NaN is what cannot be said: of one value each, or of values without any spread; `problem` says which.
    """

    difference: float = math.nan
    g: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    problem: str = ""


def effect(ours: ArrayLike, theirs: ArrayLike) -> Effect:
    """The difference of the means (ours - theirs) and, with two values in each group, how large and sure it is."""
    one, other = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    n, m = len(one), len(other)
    if not n or not m:
        return Effect(problem=TOO_FEW)
    # values whose squares are beyond all numbers have no spread that could be told
    with np.errstate(over="ignore", invalid="ignore"):
        difference = float(one.mean() - other.mean())
        if n < 2 or m < 2:
            return Effect(difference, problem=TOO_FEW)
        variances = float(one.var(ddof=1)), float(other.var(ddof=1))
    freedom = n + m - 2
    pooled = math.sqrt(((n - 1) * variances[0] + (m - 1) * variances[1]) / freedom)
    if pooled == 0 or not math.isfinite(pooled):
        return Effect(difference, problem=NO_SPREAD if pooled == 0 else "values too large for a test")
    g = difference / pooled * (1 - 3 / (4 * freedom - 1))
    error = math.sqrt((n + m) / (n * m) + g**2 / (2 * (n + m)))
    return Effect(difference, g, g - _Z * error, g + _Z * error, _welch(difference, variances, n, m))


def _welch(difference: float, variances: tuple[float, float], n: int, m: int) -> float:
    from scipy.special import stdtr

    first, second = variances[0] / n, variances[1] / m
    freedom = (first + second) ** 2 / (first**2 / (n - 1) + second**2 / (m - 1))
    return float(2 * stdtr(freedom, -abs(difference) / math.sqrt(first + second)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, corrected for their number by Holm's method; NaN is no comparison and stays."""
    known = [index for index, p in enumerate(p_values) if not math.isnan(p)]
    corrected = [math.nan] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(known, key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, p_values[index] * (len(known) - rank)))
        corrected[index] = highest
    return corrected
