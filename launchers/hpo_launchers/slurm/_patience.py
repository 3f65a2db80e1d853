"""What to do while Slurm takes no jobs, such as when a user has too many of them."""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)

# between two tries
_AGAIN_S = 15.0
# for which nothing of ours runs, until the search gives up
_GIVE_UP_S = 300.0


class Patience:
    """Says when to try again, and when no more."""

    def __init__(self) -> None:
        self._next_try = 0.0
        self._refused_since: float | None = None

    @property
    def may_try(self) -> bool:
        return time.monotonic() >= self._next_try

    def accepted(self) -> None:
        self._refused_since = None

    def refused(self, said: str, *, is_busy: bool) -> bool:
        """Whether it has been for too long; where jobs of ours run, their ends may make room."""
        now = time.monotonic()
        self._next_try = now + _AGAIN_S
        if self._refused_since is None:
            self._refused_since = now
            log.warning("WARNING: Slurm takes no jobs now, which is tried again: %s", said)
        return now - self._refused_since > _GIVE_UP_S and not is_busy
