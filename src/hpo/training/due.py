"""When there is a checkpoint besides those of evaluations."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from omegaconf import DictConfig


class CheckpointDue:
    """What `checkpoint_every` says; steps and seconds count from the checkpoint before, or from the start."""

    def __init__(
        self,
        every: DictConfig,
        steps_per_epoch: int,
        iteration: int = 0,
        clock: Callable[[], float] = time.monotonic,
        agree: Callable[[bool], bool] = bool,
    ) -> None:
        """`iteration` is the one that training starts after; `agree` makes of several processes' clocks one."""
        steps = [] if every.iterations is None else [every.iterations]
        if every.epochs is not None:
            steps.append(max(1, math.ceil(every.epochs * steps_per_epoch)))
        self._steps = min(steps, default=None)
        self._seconds: float | None = every.seconds
        self._clock = clock
        self._agree = agree
        self.saved(iteration)

    def is_due(self, iteration: int) -> bool:
        """Whether there is to be one after `iteration`; cheap enough for every step."""
        if self._steps is not None and iteration - self._iteration >= self._steps:
            return True
        return self._seconds is not None and self._agree(self._clock() - self._time_s >= self._seconds)

    def saved(self, iteration: int) -> None:
        """Note that there is one."""
        self._iteration = iteration
        self._time_s = self._clock()
