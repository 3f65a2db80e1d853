"""Files that appear whole or not at all, whenever their writer dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpo.disk import writing
from hpo.faults import reach
from hpo.paths import temporary_for


def replace_file(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Replace a file whole: a reader sees the old data or the new, never a part.

    `durable`: also one that looks after the machine has crashed.
    """
    temporary = temporary_for(path)
    with writing(path, len(data)):
        with removed_on_failure(temporary), temporary.open("wb") as file:
            file.write(data)
            reach("file_half_written", lambda: file.truncate(len(data) // 2))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - half the time of Path.replace, on a path of every log
        if durable:
            sync_folder(path.parent)


@contextmanager
def removed_on_failure(temporary: Path) -> Iterator[None]:
    """Leave no file behind that could not be written: on a full disk it would take up what little there is."""
    try:
        yield
    except BaseException:
        # where it cannot be removed either, what says why it could not be written counts
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a crash of the machine."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Let what was written to a file survive a crash of the machine; nothing where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
