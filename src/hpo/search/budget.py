"""When a search ends before its trials are used up, and when a trial has run for too long."""

from __future__ import annotations

import math
import os
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

import hpo
from hpo.objectives import Objective
from hpo.records import Ended, State
from hpo.trial.time_limit import reason_of_timeout

# after the trial's own alarm, which ends it in order
_GRACE_S = 2.0
# between two looks at the time; a scheduler that was away for longer has not heard what trials told meanwhile
_BLIND_S = 5.0
_FRAME = re.compile(r'^  File ".*?", line \d+, in .*$', re.MULTILINE)
_OURS = (str(Path(hpo.__file__).parent) + os.sep, f"{os.sep}hpo_launchers{os.sep}", f"{os.sep}hydra{os.sep}")
_DIGITS = re.compile(r"0x[0-9a-f]+|\d+")


@dataclass(frozen=True)
class Limits:
    """The keys of the same names; None sets no limit. See hpo.config."""

    timeout_s: float | None = None
    trial_timeout_s: float | None = None
    stall_timeout_s: float | None = None
    target_value: float | None = None
    max_stale_trials: int | None = None
    max_failure_rate: float | None = None
    failure_window: int = 20
    fail_fast_trials: int | None = None

    @classmethod
    def of(cls, config: DictConfig) -> Limits:
        return cls(**{name: config[name] for name in cls.__dataclass_fields__})


class Budget:
    """Hears how trials end, and says whether the search goes on; `clock` gives seconds."""

    def __init__(
        self, limits: Limits, objectives: Sequence[Objective], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._objective = objectives[0]
        self._clock = clock
        self._begun = self._last_look = clock()
        self._running: dict[int, float] = {}
        self._heard: dict[int, float] = {}
        self._over: str | None = None
        self._best = math.nan
        self._num_stale = 0
        self._failures: deque[bool] = deque(maxlen=limits.failure_window)
        self._first: list[str | None] = []

    def known(self, number: int, value: float | None) -> None:
        """A trial of an earlier search, complete or pruned: `value` as in `ended`."""
        self._note_value(number, value)

    def started(self, number: int) -> None:
        self._running[number] = self._heard[number] = self._clock()

    def paused(self, number: int) -> None:
        """A trial waits for another process: nothing of that is its own time."""
        self._running.pop(number, None)
        self._heard.pop(number, None)

    def heard(self, number: int) -> None:
        """A trial has reported."""
        self._heard[number] = self._clock()

    def ended(self, event: Ended, value: float | None) -> None:
        """A trial came to its end: `value` is the first objective of one that is complete and feasible."""
        self._running.pop(event.number, None)
        self._heard.pop(event.number, None)
        if not event.state.is_finished:
            return
        self._note_failure(event)
        if event.state in (State.COMPLETE, State.PRUNED_POOR_PERFORMANCE):
            self._note_value(event.number, value)

    def over(self) -> str | None:
        """Why the search ends; None while it goes on."""
        timeout_s = self._limits.timeout_s
        if self._over is None and timeout_s is not None and self._clock() - self._begun >= timeout_s:
            self._over = f"timeout_s={timeout_s:g} is over"
        return self._over

    def overdue(self) -> dict[int, tuple[str, State]]:
        """The trials that must be ended by force, each once, with the reason, and what they are then.

        Asked again and again. For how long nobody has asked, as while a database was waited for, no trial is late.
        """
        now = self._clock()
        blind_s, self._last_look = now - self._last_look, now
        if blind_s > _BLIND_S:
            for since in (self._running, self._heard):
                since.update({number: min(now, at + blind_s) for number, at in since.items()})
        found: dict[int, tuple[str, State]] = {}
        limit_s, stall_s = self._limits.trial_timeout_s, self._limits.stall_timeout_s
        if stall_s is not None:
            stalled = [number for number, at in self._heard.items() if now - at >= stall_s]
            found |= dict.fromkeys(stalled, (f"no report for stall_timeout_s={stall_s:g}", State.FAIL_RECOVERABLE))
        if limit_s is not None:
            late = [number for number, at in self._running.items() if now - at >= limit_s + _GRACE_S]
            found |= {number: (reason_of_timeout(limit_s), State.FAIL) for number in late}
        for number in found:
            self._running.pop(number, None)
            self._heard.pop(number, None)
        return found

    def _note_value(self, number: int, value: float | None) -> None:
        limits = self._limits
        if value is not None and (math.isnan(self._best) or self._objective.is_better(value, self._best)):
            self._best = value
            self._num_stale = 0
        else:
            self._num_stale += 1
        target = limits.target_value
        if value is not None and target is not None and not self._objective.is_better(target, value):
            self._end(f"trial {number} has reached target_value={target:g}: {self._objective.name} is {value:g}")
        if limits.max_stale_trials is not None and self._num_stale >= limits.max_stale_trials:
            self._end(f"the last {self._num_stale} trials have not improved on the best (max_stale_trials)")

    def _note_failure(self, event: Ended) -> None:
        has_failed = event.state is State.FAIL
        self._failures.append(has_failed)
        limits = self._limits
        self._note_first_failures(event)
        is_full = len(self._failures) == limits.failure_window
        if limits.max_failure_rate is None or not (has_failed and is_full):
            return
        rate = sum(self._failures) / len(self._failures)
        if rate > limits.max_failure_rate:
            self._end(
                f"{sum(self._failures)} of the last {len(self._failures)} trials failed, more than "
                f"max_failure_rate={limits.max_failure_rate:g}; the latest: {event.reason}"
            )

    def _note_first_failures(self, event: Ended) -> None:
        num_first = self._limits.fail_fast_trials
        if num_first is None or len(self._first) == num_first:
            return
        self._first.append(failure_of(event, self._limits.trial_timeout_s))
        if len(self._first) == num_first and None not in self._first and len(set(self._first)) == 1:
            trials = "trial" if num_first == 1 else f"{num_first} trials all"
            self._end(
                f"the first {trials} failed in the same way (fail_fast_trials):\n"
                + (of_the_user(event.traceback) if event.traceback else str(event.reason))
            )

    def _end(self, why: str) -> None:
        self._over = self._over or why


def of_the_user(traceback: str) -> str:
    """A traceback without the frames of hpo and Hydra that led to the user's code, where there is some."""
    head, *entries = re.split(r'^(?=  File ")', traceback, flags=re.MULTILINE)
    ours = [any(place in entry.partition('", line')[0] for place in _OURS) for entry in entries]
    return traceback if all(ours) else head + "".join(entries[ours.index(False) :])


def failure_of(event: Ended, trial_timeout_s: float | None = None) -> str | None:
    """What two failures have in common that are the same: the error's type and the innermost line of code.

    Of a death that left no traceback it is the reason, but for its numbers. None for what is no failure, and for
    one that depends on the trial's values: it came as far as metrics, which are not finite, or took too long.
    """
    reason = event.reason or ""
    is_late = trial_timeout_s is not None and reason_of_timeout(trial_timeout_s) in reason
    if event.state is not State.FAIL or event.metrics or is_late:
        return None
    if event.traceback:
        frames = _FRAME.findall(event.traceback)
        return f"{reason.partition(':')[0]}{frames[-1] if frames else ''}"
    return _DIGITS.sub("0", reason)
