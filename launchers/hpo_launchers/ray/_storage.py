"""The files of trials where no filesystem is shared: kept at a URL of fsspec, and brought to whoever needs them.

Below the URL each trial has the folder `<experiment's directory>-<digits of its path>/<trial's directory>/`, with
a list of its files that is written last: what stands there is whole, whenever the node was lost.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec

from hpo.errors import ConfigError
from hpo.paths import STORED_FILES, temporary_for

# where what is written under a name is there when all of it is; elsewhere it gets its name then
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "hf"})

# by relative path: when it was changed, in nanoseconds, and its bytes
_Files = dict[str, list[int]]


class TrialStorage:
    """Raises what the filesystem raises, OSError as a rule, where it cannot be reached. Threads may share it."""

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._has_folders = _has_folders(self._fs)
        self._locks: dict[Path, threading.Lock] = {}
        self._pushed: dict[Path, _Files] = {}

    def push(self, directory: Path) -> None:
        """Keep what has changed in a trial's directory since the last time."""
        with self._lock_of(directory):
            before = self._pushed.get(directory)
            if before is None:
                before = self._listed(directory)[0]
            now = dict(_files(directory))
            changed = [name for name in now if before.get(name) != now[name]]
            folders = sorted(path.name for path in directory.iterdir() if path.is_dir())
            if not changed and now.keys() == before.keys():
                return
            target = self._place(directory)
            if self._has_folders:
                self._fs.makedirs(target, exist_ok=True)
            for name in changed:
                try:
                    self._put(directory / name, f"{target}/{name}")
                except FileNotFoundError:  # it has been replaced meanwhile, and the next time takes its place
                    now.pop(name)
            listed = json.dumps({"files": now, "folders": folders}).encode()
            self._write(f"{target}/{STORED_FILES}", lambda name: self._fs.pipe_file(name, listed))
            for name in before.keys() - now.keys():
                with suppress(FileNotFoundError):
                    self._fs.rm_file(f"{target}/{name}")
            self._pushed[directory] = now

    def pull(self, directory: Path) -> None:
        """Make a trial's directory here what is kept of it; nothing where nothing is."""
        with self._lock_of(directory):
            kept, folders = self._listed(directory)
            if not kept:
                return
            for folder in folders:
                (directory / folder).mkdir(parents=True, exist_ok=True)
            here = dict(_files(directory))
            for name, (changed_ns, size) in kept.items():
                if here.get(name) != [changed_ns, size]:
                    self._get(f"{self._place(directory)}/{name}", directory / name, changed_ns)
            for name in here.keys() - kept.keys():
                (directory / name).unlink(missing_ok=True)
            self._pushed[directory] = kept

    def _lock_of(self, directory: Path) -> threading.Lock:
        return self._locks.setdefault(directory, threading.Lock())

    def _place(self, directory: Path) -> str:
        # experiments of several users, which may draw the same id, lie apart
        experiment = directory.parent
        digest = hashlib.sha256(str(experiment).encode()).hexdigest()[:8]
        return f"{self._root}/{experiment.name}-{digest}/{directory.name}"

    def _listed(self, directory: Path) -> tuple[_Files, list[str]]:
        try:
            found: dict[str, Any] = json.loads(self._fs.cat_file(f"{self._place(directory)}/{STORED_FILES}"))
        except FileNotFoundError:
            return {}, []
        return found["files"], found["folders"]

    def _put(self, file: Path, target: str) -> None:
        if self._has_folders:
            self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        self._write(target, lambda name: self._fs.put_file(str(file), name))

    def _write(self, target: str, write: Callable[[str], None]) -> None:
        """Let `target` be what it was or all that `write` writes under the name that it is given."""
        if not self._has_folders:
            write(target)
            return
        folder, _, name = target.rpartition("/")
        temporary = f"{folder}/.{name}.{secrets.token_hex(4)}"
        try:
            write(temporary)
            self._fs.mv(temporary, target)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(temporary)
            raise

    def _get(self, source: str, file: Path, changed_ns: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_for(file)
        self._fs.get_file(source, str(temporary))
        os.utime(temporary, ns=(changed_ns, changed_ns))
        temporary.replace(file)


def check_storage(url: str) -> None:
    """Raise ConfigError for what fsspec does not know, or cannot be written."""
    if "://" not in url and not Path(url).is_absolute():
        raise ConfigError(
            f"hydra.launcher.storage={url} is a folder of wherever a process is: give a URL of fsspec, such as "
            "s3://bucket/folder, or an absolute path"
        )
    try:
        fs, root = fsspec.core.url_to_fs(url)
        if _has_folders(fs):
            fs.makedirs(root, exist_ok=True)
        probe = f"{root}/.hpo-can-write"
        fs.pipe_file(probe, b"")
        fs.rm_file(probe)
    except Exception as error:
        raise ConfigError(
            f"hydra.launcher.storage={url} cannot be used: {told(error)}. It takes a URL of fsspec, such as "
            "s3://bucket/folder (pip install s3fs) or file:///folder"
        ) from error


def _has_folders(fs: Any) -> bool:
    """Whether there are any but in names. Where there are none, to make one makes the bucket that is missing."""
    protocols = [fs.protocol] if isinstance(fs.protocol, str) else fs.protocol
    return _OBJECT_STORES.isdisjoint(protocols)


class Keeping:
    """Pushes a trial's directory every `period_s` seconds, until `end`."""

    def __init__(self, storage: TrialStorage, directory: Path, period_s: float) -> None:
        self._storage = storage
        self._directory = directory
        self._period_s = period_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="storage", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Push what has changed since. Raises what the filesystem raises."""
        self._is_over.set()
        self._thread.join()
        self._storage.push(self._directory)

    def _run(self) -> None:
        while not self._is_over.wait(self._period_s):
            # what cannot be kept now is kept the next time, or told at the end
            with suppress(Exception):
                self._storage.push(self._directory)


def _files(directory: Path) -> Iterator[tuple[str, list[int]]]:
    """What a trial has, but for files that are about to take their names."""
    for path in directory.rglob("*"):
        if path.name.startswith("."):
            continue
        with suppress(FileNotFoundError):
            found = path.stat()
            if path.is_file():
                yield path.relative_to(directory).as_posix(), [found.st_mtime_ns, found.st_size]


def told(error: Exception) -> str:
    """An error of a filesystem in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
