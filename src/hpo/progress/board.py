"""What the scheduler hears of its trials, kept for the table: the thread that draws it looks here."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from hpo.paths import ExperimentPaths
from hpo.progress.estimate import seconds_left
from hpo.progress.row import Row
from hpo.progress.snapshot import EndedTrial, Snapshot, Standing, Warned
from hpo.records import COUNTED, Ended, Event, ReplicateEnded, Report, Resumed, Started

MAX_ENDED = 5
"""How many of the last ended trials are kept."""


class Board:
    """Every method but `snapshot` costs microseconds; all may be called from any thread.

    `standing` gives the counts and the best trial, `trial_id` a trial's name by its number. `total` is how many
    trials there will be.
    """

    def __init__(
        self,
        paths: ExperimentPaths,
        objectives: Sequence[str],
        standing: Callable[[], Standing],
        trial_id: Callable[[int], str],
        *,
        total: int | None = None,
        timeout_s: float | None = None,
        num_replicates: int = 1,
    ) -> None:
        self.total = total
        self._paths = paths
        self._objectives = tuple(objectives)
        self._standing = standing
        self._trial_id = trial_id
        self._timeout_s = timeout_s
        self._num_replicates = num_replicates
        self._lock = threading.Lock()
        self._began = time.time()
        self._first_start: float | None = None
        self._rows: dict[int, Row] = {}
        self._ended: deque[EndedTrial] = deque(maxlen=MAX_ENDED)
        self._num_ended = 0
        self._warning: Warned | None = None

    def hear(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, Started):
                self._start(event)
            elif isinstance(event, Ended):
                self._end(event)
            elif (row := self._rows.get(event.number)) is None:
                return
            elif isinstance(event, Report):
                row.heard(event.metrics, event.step, event.replicate, event.time)
            elif isinstance(event, Resumed):
                row.resumed(event.step, event.replicate, time.time())
            elif isinstance(event, ReplicateEnded):
                row.entered(event.replicate + 1, 0, event.time)

    def warn(self, text: str) -> None:
        with self._lock:
            self._warning = Warned(time.time(), text)

    def snapshot(self, max_running: int) -> Snapshot:
        """How things stand now, with the first `max_running` of the running trials."""
        now = time.time()
        with self._lock:
            rows = list(itertools.islice(self._rows.values(), max_running))
            num_running, ended, warning = len(self._rows), tuple(self._ended), self._warning
        for row in rows:
            row.look(now)
        standing = self._standing()
        return Snapshot(
            experiment_id=self._paths.experiment_id,
            directory=str(self._paths.root),
            objectives=self._objectives,
            standing=standing,
            total=self.total,
            elapsed_s=now - self._began,
            left_s=self._left(now, standing, rows, num_running),
            running=tuple(row.shown() for row in rows),
            num_running=num_running,
            ended=ended[::-1],
            warning=warning,
            time=now,
            num_replicates=self._num_replicates,
        )

    def _start(self, event: Started) -> None:
        if self._first_start is None:
            self._first_start = event.time
        # an attempt that follows another goes to the end
        self._rows.pop(event.number, None)
        self._rows[event.number] = Row(
            event.number,
            event.time,
            num_replicates=self._num_replicates,
            device=event.device,
            pid=event.pid,
            host=event.host,
            directory=self._directory(event.number),
        )

    def _end(self, event: Ended) -> None:
        row = self._rows.pop(event.number, None)
        self._num_ended += event.state in COUNTED
        self._ended.append(
            EndedTrial(
                event.number,
                event.state,
                row.started if row is not None else None,
                event.time,
                device=row.device if row is not None else None,
                metrics=event.metrics,
                reason=event.reason,
            )
        )

    def _directory(self, number: int) -> Path:
        return self._paths.trial(self._trial_id(number)).root

    def _left(self, now: float, standing: Standing, rows: Sequence[Row], num_running: int) -> float | None:
        if self.total is None or self._first_start is None:
            return None
        done = [row.done for row in rows] + [None] * (num_running - len(rows))
        found = seconds_left(
            now - self._first_start,
            self._num_ended,
            self.total - standing.num_done,
            [row.gained for row in rows],
            [None if part is None else 1.0 - part for part in done],
        )
        if self._timeout_s is None:
            return found
        until_timeout = max(self._began + self._timeout_s - now, 0.0)
        return until_timeout if found is None else min(found, until_timeout)
