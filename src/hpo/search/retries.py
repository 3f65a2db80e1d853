"""When a trial whose process died is tried again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from omegaconf import DictConfig

from hpo.errors import NO_MEMORY
from hpo.records import Ended, State, TrialSpec

# what an error says that has to do with memory, and what the kernel does to the process that it takes it from
_OF_MEMORY = re.compile(rf"OutOfMemory|MemoryError|{NO_MEMORY}|\bSIGKILL\b")


@dataclass(frozen=True)
class _Waiting:
    spec: TrialSpec
    due: float
    # another trial must have ended first, so that there is memory again
    num_ended: int | None


@dataclass
class Retries:
    """Counts the retries of each trial, and holds those that wait; `clock` gives seconds."""

    max_retries: int = 0
    delay_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _counts: dict[int, int] = field(default_factory=dict)
    _waiting: dict[int, _Waiting] = field(default_factory=dict)

    @classmethod
    def of(cls, config: DictConfig) -> Retries:
        return cls(config.max_retries, config.retry_delay_s)

    def __len__(self) -> int:
        return len(self._waiting)

    def count(self, number: int) -> int:
        """How often a trial has been tried again."""
        return self._counts.get(number, 0)

    def add(self, spec: TrialSpec, ended: Ended, num_ended: int) -> float | None:
        """Have a trial tried again: the seconds until then, or None when it has been tried often enough.

        `num_ended` is how many trials have come to any end so far.
        """
        count = self.count(spec.number) + 1
        if count > self.max_retries:
            return None
        self._counts[spec.number] = count
        delay_s = self.delay_s * float(2 ** (count - 1))
        needs_memory = _OF_MEMORY.search(ended.reason or "") is not None
        self._waiting[spec.number] = _Waiting(spec, self.clock() + delay_s, num_ended if needs_memory else None)
        return delay_s

    def again(self, spec: TrialSpec, ended: Ended, num_ended: int) -> Ended:
        """How a trial has ended whose process died: it is tried again, or FAIL where it was tried often enough."""
        delay_s = self.add(spec, ended, num_ended)
        if delay_s is None:
            times = "once" if self.max_retries == 1 else f"{self.max_retries} times"
            tried = f" (tried again {times})" if self.max_retries else ""
            return replace(ended, state=State.FAIL, reason=f"{ended.reason}{tried}")
        count = f"retry {self.count(ended.number)} of {self.max_retries}"
        return replace(ended, reason=f"{ended.reason}; {count} in {delay_s:g} s")

    def due(self, num_ended: int, *, is_idle: bool) -> TrialSpec | None:
        """A trial whose time has come; where nothing runs there is no memory to wait for."""
        for number, waiting in self._waiting.items():
            has_memory = waiting.num_ended is None or waiting.num_ended < num_ended or is_idle
            if has_memory and self.clock() >= waiting.due:
                del self._waiting[number]
                return waiting.spec
        return None
