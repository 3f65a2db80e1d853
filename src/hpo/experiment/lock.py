"""One scheduler at a time in an experiment's directory; the lock dies with the process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from hpo.errors import ExperimentError
from hpo.trial.metadata import timestamp

# a look at who holds it takes microseconds, and must not turn a scheduler away
_PATIENCE_S = 0.5
_PAUSE_S = 0.02

# what stands in the files that this process has locked: to open and close one of them would drop the lock
_held: dict[Path, str] = {}


class SchedulerLock:
    """Held from its making until `release`, or until this process is gone, however that ends.

    A record lock of POSIX: child processes do not inherit it, and network filesystems know it. The file says who
    holds it.
    """

    def __init__(self, path: Path) -> None:
        """Raises ExperimentError that names the holder where there is one."""
        self._path = path.resolve()
        if self._path in _held:
            raise _refusal(path)
        self._file = path.open("a+", encoding="utf-8")
        deadline = time.monotonic() + _PATIENCE_S
        while not (_try(self._file, fcntl.LOCK_EX) and _is_at(path, self._file)):
            self._file.close()
            if time.monotonic() > deadline:
                raise _refusal(path)
            time.sleep(_PAUSE_S)
            self._file = path.open("a+", encoding="utf-8")
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": timestamp(time.time())}
        _held[self._path] = json.dumps(holder)
        self._file.truncate(0)
        self._file.write(_held[self._path] + "\n")
        self._file.flush()

    def release(self) -> None:
        if self._path in _held:
            # it says nothing when nobody has it locked
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            with suppress(OSError):
                self._file.close()
            del _held[self._path]


def holder_of(path: Path) -> str | None:
    """Who holds the lock, in words; None when nobody does."""
    if path.resolve() not in _held:
        try:
            with path.open(encoding="utf-8") as file:
                if _try(file, fcntl.LOCK_SH):
                    return None
        except OSError:
            return None
    return _spelled(path)


def _try(file: TextIO, kind: int) -> bool:
    try:
        fcntl.lockf(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(path: Path, file: TextIO) -> bool:
    """Whether the file is still the one of that name: its last holder removes it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _refusal(path: Path) -> ExperimentError:
    return ExperimentError(
        f"{path.parent} has a scheduler already: {_spelled(path)}.\n"
        "Wait for its end, or stop it: two would run the same trials"
    )


def _spelled(path: Path) -> str:
    try:
        holder = json.loads(_held.get(path.resolve()) or path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
    except (OSError, ValueError, KeyError):
        return "a process that has not written its name yet"
