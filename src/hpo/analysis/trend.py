"""A smooth curve through a metric over a numerical parameter, with how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hpo.analysis.history import Floats
from hpo.counted import counted

_NUM_POINTS = 80
_NUM_RESAMPLES = 200
_MAX_FITTED = 2000
_MIN_VALUES = 4
_COVERAGE = (2.5, 97.5)
_SPREAD = 100.0
_REACH = 0.25


@dataclass(frozen=True)
class Trend:
    """Fitted values at `x`, and the 95 % interval that resampling the trials gives.

    They end a little beyond the values: an interval of few trials would have the axis for itself.
    """

    x: Floats
    y: Floats
    low: Floats
    high: Floats


def is_skewed(values: ArrayLike) -> bool:
    """Whether values are all positive and of such different sizes that only a logarithm shows the small ones."""
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array)]
    return len(array) > 1 and bool(array.min() > 0) and bool(array.max() / array.min() > _SPREAD)


def fit(x: ArrayLike, y: ArrayLike, *, is_log: bool = False, is_log_metric: bool = False) -> Trend | str:
    """A polynomial of degree 1 to 3 (more trials, higher degree) on the axes as they are drawn.

    The reason in words where there is nothing to fit.
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    known = np.isfinite(xs) & np.isfinite(ys) & ((xs > 0) | (not is_log)) & ((ys > 0) | (not is_log_metric))
    xs, ys = xs[known], ys[known]
    num_different = len(np.unique(xs))
    if num_different < 2:
        return "its value is the same in all trials" if len(xs) else "no trial has both"
    if len(xs) < _MIN_VALUES or num_different < 3:
        return f"{counted(len(xs), 'trial')} with {num_different} different values are too few for one"
    rng = np.random.default_rng(0)
    if len(xs) > _MAX_FITTED:
        chosen = rng.choice(len(xs), _MAX_FITTED, replace=False)
        xs, ys = xs[chosen], ys[chosen]
    us, vs = (np.log10(xs) if is_log else xs), (np.log10(ys) if is_log_metric else ys)
    low, high = us.min(), us.max()
    degree = min(1 + (len(us) >= 8) + (len(us) >= 30), num_different - 1)
    powers = _powers(us, low, high, degree)
    grid = np.linspace(low, high, _NUM_POINTS)
    of_grid = _powers(grid, low, high, degree)
    fitted = of_grid @ _solved(powers, vs)
    samples = []
    for _ in range(_NUM_RESAMPLES):
        drawn = rng.integers(0, len(us), len(us))
        samples.append(of_grid @ _solved(powers[drawn], vs[drawn]))
    below, above = np.percentile(samples, _COVERAGE, axis=0)
    reach = _REACH * (vs.max() - vs.min())
    fitted, below, above = (np.clip(each, vs.min() - reach, vs.max() + reach) for each in (fitted, below, above))
    at = 10**grid if is_log else grid
    with np.errstate(over="ignore"):
        curves = [10**curve if is_log_metric else curve for curve in (fitted, below, above)]
    return Trend(at, *curves)


def _powers(u: Floats, low: float, high: float, degree: int) -> Floats:
    scaled = 2 * (u - low) / (high - low) - 1
    return np.asarray(np.polynomial.chebyshev.chebvander(scaled, degree), dtype=np.float64)


def _solved(powers: Floats, v: Floats) -> Floats:
    return np.asarray(np.linalg.lstsq(powers, v, rcond=None)[0], dtype=np.float64)
