"""The scheduler's side of a storage: each trial's files go out before it starts, and come back when it has ended.

They move in threads beside the search, so that no trial waits for the files of another.
"""

from __future__ import annotations

from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.errors import ClusterError
from hpo.records import Ended, State
from hpo_launchers.jobs import Job
from hpo_launchers.ray._storage import TrialStorage, told
from hpo_launchers.worker.directories import Directories

_NUM_THREADS = 16


@dataclass(frozen=True)
class _Coming:
    """The end of a trial, and its files that are under way; `result` as the slot sent it."""

    ended: Ended
    result: bytes | None
    files: Future[Ended]


class Transfers:
    """Without a storage nothing has to be moved, and nothing is ever under way."""

    def __init__(self, storage: TrialStorage | None) -> None:
        self._storage = storage
        self._directories = Directories()
        self._threads = futures.ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="transfers")
        self._going: list[Future[str | None]] = []
        self._coming: list[_Coming] = []

    @property
    def are_under_way(self) -> bool:
        self._going = [going for going in self._going if not going.done()]
        return bool(self._going or self._coming)

    def send(self, job: Job) -> Future[str | None]:
        """Send the files of a trial; why they cannot be, if so."""
        directory = self._directories.of(job)
        if self._storage is None or directory is None:
            return _done(None)
        going = self._threads.submit(_sent, self._storage, directory)
        self._going.append(going)
        return going

    def bring(self, job: Job, ended: Ended, result: bytes | None = None) -> None:
        """Bring the files of a trial that has come to its end, which `arrived` tells when they are here."""
        directory = self._directories.of(job)
        files = (
            _done(ended)
            if self._storage is None or directory is None
            else self._threads.submit(_brought, self._storage, directory, ended)
        )
        self._coming.append(_Coming(ended, result, files))

    def arrived(self) -> list[tuple[Ended, bytes | None]]:
        """The ends of trials whose files are here, each once, with their results."""
        here = [each for each in self._coming if each.files.done()]
        self._coming = [each for each in self._coming if each not in here]
        return [(each.files.result(), each.result) for each in here]

    def wait(self, timeout_s: float) -> None:
        """Until something has got where it was to go."""
        if self.are_under_way:
            moving: list[Future[Any]] = [*self._going, *(each.files for each in self._coming)]
            futures.wait(moving, timeout_s, futures.FIRST_COMPLETED)

    def fetch(self, directory: Path) -> None:
        """Bring what an earlier scheduler has not. Raises ClusterError where the storage does not answer."""
        if self._storage is not None:
            try:
                self._storage.pull(directory)
            except Exception as error:
                raise ClusterError(f"{directory} cannot be brought from the storage: {told(error)}") from error

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way."""
        futures.wait([each.files for each in self._coming], timeout_s)
        self._threads.shutdown(wait=False, cancel_futures=True)


def _sent(storage: TrialStorage, directory: Path) -> str | None:
    try:
        storage.push(directory)
    except Exception as error:
        return f"the storage does not take {directory}: {told(error)}"
    return None


def _brought(storage: TrialStorage, directory: Path, ended: Ended) -> Ended:
    """The end of the trial; another one where its files cannot be brought."""
    try:
        storage.pull(directory)
    except Exception as error:
        reason = f"its files cannot be brought from the storage: {told(error)}"
        return Ended(ended.number, State.FAIL_RECOVERABLE, reason=reason)
    return ended


def _done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future
