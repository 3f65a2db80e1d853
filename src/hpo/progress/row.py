"""A trial that runs, from one look to the next: its newest record, its speed, its memory."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo.paths import TrialPaths
from hpo.progress.snapshot import RunningTrial
from hpo.results_file import STEP

_TAIL_BYTES = 16_384
# one that has just begun is not worth a look at its files: thousands may begin in a second
_YOUNG_S = 1.0
_HOST = socket.gethostname()
_DECODER = json.JSONDecoder()


class Row:
    """`directory` is where its results are written; None where they are not to be read."""

    def __init__(
        self,
        number: int,
        started: float,
        *,
        num_replicates: int = 1,
        device: str | None = None,
        pid: int | None = None,
        host: str | None = None,
        directory: Path | None = None,
    ) -> None:
        self.number = number
        self.device = device
        self.started = started
        self._num_replicates = num_replicates
        self._replicate = 0
        self._pid = pid if host == _HOST else None
        self._directory = directory
        self._looked_at: tuple[str, int] | None = None
        self._metrics: dict[str, float] = {}
        self._where: dict[str, int] = {}
        self._speed: float | None = None
        self._newest = (started, 0)
        # the replicate and the iteration that this attempt goes on from
        self._began_at = (0, 0)
        self._has_moved = False

    def resumed(self, step: int, replicate: int, time: float) -> None:
        """The attempt goes on from `step`, which it has not done itself."""
        self.entered(replicate, step, time)
        if not self._has_moved:
            self._began_at = (replicate, step)

    def entered(self, replicate: int, step: int, time: float) -> None:
        """It is at `step` of that replicate."""
        self._replicate = replicate
        self._newest = (time, step)
        self._where = {}

    def heard(self, metrics: Mapping[str, float], step: int, replicate: int, time: float) -> None:
        """An evaluation."""
        if replicate != self._replicate:
            self.entered(replicate, 0, time)
        self._take({STEP: step, **metrics}, time, is_evaluation=True)

    def look(self, now: float) -> None:
        """Take in what its results.json has that was not reported; nothing where there is no directory."""
        if self._directory is None or now - self.started < _YOUNG_S:
            return
        paths = TrialPaths(self._directory)
        for path in (paths.replicate(self._replicate).results, paths.results):
            try:
                stat = path.stat()
                seen = (str(path), stat.st_mtime_ns)
                if seen == self._looked_at:
                    return
                record = newest_record(path)
            except OSError:
                continue
            self._looked_at = seen
            # what an earlier attempt wrote says nothing of this one
            if record is not None and stat.st_mtime > self.started:
                self._take(record, stat.st_mtime, is_evaluation=False)
            return

    @property
    def done(self) -> float | None:
        """The part of the trial that is done, of all its replicates together; None where it does not say."""
        return self._part(self._replicate, self._where.get(STEP))

    @property
    def gained(self) -> float | None:
        """The part of it that this attempt has done."""
        done, begun = self.done, self._part(*self._began_at)
        return None if done is None or begun is None else done - begun

    def shown(self) -> RunningTrial:
        where = self._where
        return RunningTrial(
            number=self.number,
            started=self.started,
            device=self.device,
            replicate=self._replicate,
            epoch=where.get("current_epoch"),
            epochs=where.get("epochs"),
            iteration=where.get(STEP),
            iterations=where.get("total_steps"),
            speed=self._speed,
            memory=memory_of(self._pid),
            metrics=dict(self._metrics),
        )

    def _take(self, record: Mapping[str, Any], time: float, *, is_evaluation: bool) -> None:
        step = record.get(STEP)
        if not isinstance(step, int) or step < self._where.get(STEP, 0):
            return
        for name in ("current_epoch", "epochs", STEP, "total_steps"):
            if isinstance(record.get(name), int):
                self._where[name] = record[name]
        self._has_moved = True
        for name, value in record.items():
            # where nothing was evaluated, the last evaluation stands
            if isinstance(value, int | float) and (is_evaluation or not math.isnan(value)):
                self._metrics[name] = value
        self._measure(step, time)

    def _measure(self, step: int, time: float) -> None:
        before, done = self._newest
        if step > done and time > before:
            self._speed = (step - done) / (time - before)
            self._newest = (time, step)

    def _part(self, replicate: int, step: int | None) -> float | None:
        total = self._where.get("total_steps")
        if step is None or not total:
            return None
        return (replicate + min(step / total, 1.0)) / self._num_replicates


def newest_record(path: Path) -> dict[str, Any] | None:
    """The last whole record of a results.json, by its end alone. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(length - _TAIL_BYTES, 0))
        tail = file.read().decode("utf-8", "replace")
    position = tail.rfind("{")
    while position >= 0:
        try:
            record, _ = _DECODER.raw_decode(tail, position)
        except json.JSONDecodeError:  # it is being written
            position = tail.rfind("{", 0, position)
            continue
        return record if isinstance(record, dict) else None
    return None


def memory_of(pid: int | None) -> int | None:
    """The bytes that a process of this machine holds; None where nobody knows (no Linux, or gone)."""
    if pid is None:
        return None
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
