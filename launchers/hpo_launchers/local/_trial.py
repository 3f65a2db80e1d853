"""A trial that runs, as the scheduler sees it: how far its end has come, and how it is brought about by force."""

from __future__ import annotations

import logging
import math
import signal
import time
from dataclasses import dataclass, replace
from typing import Any

from hpo.records import Ended, State
from hpo_launchers import execution
from hpo_launchers.local._channel import Returned
from hpo_launchers.local._pool import TrialProcess
from hpo_launchers.worker.loaded import unpickled

log = logging.getLogger(__name__)

# a trial whose end is told may still flush what it has; one that hangs then would hold its slot for ever
_LEAVE_TIMEOUT_S = 60.0
# until somebody who waits for the slot wants to know why
_REMARK_S = 5.0
# of a trial that is ended by force: for its stack, and for what it does when it is asked to terminate
_DUMP_S = 0.2
_TERMINATE_S = 2.0


@dataclass
class RunningTrial:
    """In a process of the pool."""

    number: int
    process: TrialProcess
    ended: Ended | None = None
    returned: Returned | None = None
    # whether the scheduler knows of its end, and until when its process has to be gone then
    is_told: bool = False
    remark_at: float = math.inf
    leave_by: float = math.inf
    # what it ends as when it is ended by force: reason and state
    killed_as: tuple[str, State] | None = None
    terminate_at: float = math.inf
    kill_at: float = math.inf

    def end_by_force(self, reason: str, state: State) -> None:
        """Have it write its stack; `hurry` asks it to terminate then, and kills it when it does not."""
        if not self.is_told and self.killed_as is None:
            self.killed_as = reason, state
            now = time.monotonic()
            self.terminate_at, self.kill_at = now + _DUMP_S, now + _DUMP_S + _TERMINATE_S
            self.process.dump_stack()

    def tell(self) -> None:
        """Its end is told; what it still does it has to do within a minute."""
        now = time.monotonic()
        self.is_told, self.remark_at, self.leave_by = True, now + _REMARK_S, now + _LEAVE_TIMEOUT_S

    @property
    def next_step_at(self) -> float:
        """When `hurry` has something to do."""
        return min(self.terminate_at, self.kill_at, self.remark_at, self.leave_by)

    def hurry(self, now: float) -> None:
        """Take the next step against one that does not leave."""
        if now >= self.remark_at:
            self.remark_at = math.inf
            log.warning(
                "WARNING: trial %d has ended, but its process has not, and no other takes its place until then: "
                "its train.log names the threads that still run; it is killed %g s after the trial's end",
                self.number,
                _LEAVE_TIMEOUT_S,
            )
        if now >= min(self.kill_at, self.leave_by):
            self.terminate_at = self.kill_at = self.leave_by = math.inf
            self.process.kill()
        elif now >= self.terminate_at:
            self.terminate_at = math.inf
            self.process.signal(signal.SIGTERM)

    def end(self, reason_of_death: str, *, wants_result: bool) -> Ended:
        """How it ended, by its own words where there are any."""
        returned = self.returned
        ended = self.ended or (returned.ended if returned else None)
        if ended is None:
            reason, state = self.killed_as or (reason_of_death, State.FAIL_RECOVERABLE)
            ended = Ended(self.number, state, reason=reason)
        return replace(ended, result=_result(returned, ended) if wants_result or self.ended is None else None)


def _result(returned: Returned | None, ended: Ended) -> Any:
    """The trial's JobReturn; one that says how it ended where there is none."""
    if returned is None:
        return execution.failed_return(RuntimeError(ended.reason))
    return unpickled(returned.result)
