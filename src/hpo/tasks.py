"""Tasks without torch: a function whose minimum is known, and two that measure hpo itself."""

from __future__ import annotations

import time

from hpo.trial.protocol import Trial


def quadratic(trial: Trial, x: float, y: float) -> dict[str, float]:
    """(x - 2)^2 + (y + 1)^2, whose minimum 0 lies at x = 2, y = -1."""
    loss = (x - 2.0) ** 2 + (y + 1.0) ** 2
    trial.report({"loss": loss}, step=1)
    return {"loss": loss}


def noop(trial: Trial, **values: float) -> dict[str, float]:
    """The sum of the squares of any number of values, at once."""
    return {"loss": sum(value * value for value in values.values())}


def sleep(trial: Trial, short_s: float, long_s: float, every: int) -> dict[str, float]:
    """Sleep `short_s` seconds, and `long_s` in each trial whose number is a multiple of `every`."""
    duration_s = long_s if trial.number % every == 0 else short_s
    time.sleep(duration_s)
    return {"loss": duration_s}
