"""The experiments below the directory that is shown, and what has been found out about each."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hpo.dashboard import files
from hpo.experiment.lock import holder_of
from hpo.paths import EXPERIMENT_PREFIX, ExperimentPaths
from hpo.stored import readable

_Found = TypeVar("_Found")
_MAX_KEPT = 256
_GRANULARITY_NS = 50_000_000

Stamp = tuple[Any, ...]
"""What changes whenever the files behind a page do: their sizes and times, and who schedules."""


class Kept:
    """Results by key, each as long as its stamp stands; the least used ones make room."""

    def __init__(self, size: int = _MAX_KEPT) -> None:
        self._size = size
        self._results: OrderedDict[Hashable, tuple[Stamp, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, stamp: Stamp, find: Callable[[], _Found]) -> _Found:
        """What is kept under the key, or else what `find` returns; two threads may find the same."""
        with self._lock:
            known = self._results.get(key)
            if known is not None and known[0] == stamp:
                self._results.move_to_end(key)
                result: _Found = known[1]
                return result
        result = find()
        with self._lock:
            self._results[key] = (stamp, result)
            self._results.move_to_end(key)
            while len(self._results) > self._size:
                self._results.popitem(last=False)
        return result


@dataclass(frozen=True)
class Store:
    """The directory that is shown: one experiment, or a folder of them."""

    directory: Path
    kept: Kept = field(default_factory=Kept, repr=False, compare=False)

    @classmethod
    def of(cls, directory: Path) -> Store:
        return cls(directory.resolve())

    @property
    def is_one(self) -> bool:
        """Whether the directory is an experiment, and no folder of them."""
        return self.directory.name.startswith(EXPERIMENT_PREFIX)

    def experiments(self) -> list[ExperimentPaths]:
        """Those that are there, by name. A link that leads out of the directory is none of them."""
        return [ExperimentPaths.of(root) for root in files.experiments(self.directory).values()]

    def experiment(self, experiment_id: str) -> ExperimentPaths | None:
        root = files.experiment(self.directory, experiment_id)
        return None if root is None else ExperimentPaths.of(root)

    def relative(self, path: Path) -> str:
        """A path as `files` takes it."""
        return path.relative_to(self.directory).as_posix()

    def inside(self, path: Path) -> Path | None:
        """The real path of a file that a page is to read; None where it is none, or lies outside by some link."""
        found = files.resolve(self.directory, self.relative(path))
        return found if found is not None and found.is_file() else None


def stamp_of(paths: ExperimentPaths, *others: Path) -> Stamp:
    """Equal as long as nothing that the experiment's pages show has changed. Reads no file."""
    try:
        database = readable(paths.state_db)
    except sqlite3.Error:  # opening it will tell
        database = paths.state_db
    journal = database.with_name(f"{database.name}-wal")
    files_seen = [_stamp_of_file(path) for path in (database, journal, paths.config, *others)]
    return (*files_seen, holder_of(paths.lock), _unsettled(files_seen))


def stamp_of_files(*others: Path) -> Stamp:
    """The same of some files alone."""
    seen = [_stamp_of_file(path) for path in others]
    return (*seen, _unsettled(seen))


def _stamp_of_file(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _unsettled(seen: Iterable[tuple[int, int, int] | None]) -> int:
    """Something new each time as long as a file is so young that another write would leave its time as it is."""
    now = time.time_ns()
    return now if any(each is not None and abs(now - each[0]) < _GRANULARITY_NS for each in seen) else 0
