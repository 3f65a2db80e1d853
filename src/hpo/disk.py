"""A disk that cannot be written any more, told with the path and the bytes."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpo.errors import DiskError

FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_OF_A_DISK = FULL | {errno.EROFS, errno.EIO, errno.EFBIG, errno.EACCES, errno.EPERM}


@contextmanager
def writing(path: Path, num_bytes: int | None = None) -> Iterator[None]:
    """In the block `path` is written, with so many bytes where that is known.

    Raises DiskError in place of the OSError, or of what a library made of it, when its disk takes them no more.
    """
    try:
        yield
    except DiskError:
        raise
    except Exception as error:
        found = _os_error(error)
        if found is None or found.errno not in _OF_A_DISK:
            raise
        raise disk_error(path, found, num_bytes) from error


def disk_error(path: Path, error: Exception, num_bytes: int | None = None) -> DiskError:
    """What is told when `path` cannot be written: by the filesystem, or by SQLite."""
    reason = getattr(error, "strerror", None) or str(getattr(error, "orig", None) or error)
    told = DiskError(f"cannot write {path}: {reason} ({_room(path, num_bytes)})")
    told.errno = getattr(error, "errno", None)
    return told


def disk_error_of(error: BaseException, place: Path) -> DiskError | None:
    """The error of a disk that `error` is: a write of hpo's own, or any one that found no room at `place`."""
    if isinstance(error, DiskError):
        return error
    if isinstance(error, OSError) and error.errno in FULL:
        return disk_error(Path(os.fsdecode(error.filename)) if error.filename else place, error)
    return None


def is_of_a_disk(error: OSError) -> bool:
    return isinstance(error, DiskError) or error.errno in _OF_A_DISK


def _os_error(error: Exception) -> OSError | None:
    """torch's writer raises an error of its own, in whose context the OSError is."""
    within: BaseException | None = error
    while within is not None:
        if isinstance(within, OSError):
            return within
        within = within.__cause__ or within.__context__
    return None


def _room(path: Path, num_bytes: int | None) -> str:
    """How many bytes are missing, where that can be told, and how many are free."""
    there = next((place for place in (path, *path.parents) if place.exists()), Path("/"))
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        return "how many bytes are free cannot be told"
    if num_bytes is None:
        return f"{free} bytes are free"
    missing = f"{num_bytes - free} bytes are missing: " if num_bytes > free else ""
    return f"{missing}{num_bytes} bytes are wanted, {free} bytes are free"
