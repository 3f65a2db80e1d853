"""SQLite as hpo opens it: WAL on a local filesystem, a rollback journal on a network one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

from hpo.faults import reach
from hpo.paths import STUDY_SUFFIX
from hpo.stored import damage_in

_NETWORK_FILESYSTEMS = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "smb3",
        "smbfs",
        "virtiofs",
    ]
)
_BUSY_TIMEOUT_S = 60.0


class _Connection(sqlite3.Connection):
    """A subclass, because it is the only hook that every connection of an engine passes through."""

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(database, *args, **kwargs)
        self._point = "study_commit" if str(database).endswith(STUDY_SUFFIX) else "state_commit"

    def commit(self) -> None:
        reach(self._point)
        super().commit()


class WalConnection(_Connection):
    """Write-ahead log: readers never stop the writer, and a commit does not wait for the disk."""

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(database, *args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


class RollbackConnection(_Connection):
    """A rollback journal: a write-ahead log needs shared memory, which a network filesystem lacks."""

    def __init__(self, database: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(database, *args, **kwargs)
        self.execute("PRAGMA journal_mode=DELETE")
        self.execute("PRAGMA synchronous=FULL")


def url(path: Path) -> str:
    """The SQLAlchemy URL of a database file."""
    return f"sqlite:///{path.absolute()}"


def engine_options(path: Path) -> dict[str, Any]:
    """Keyword arguments of `create_engine` for a database at `path`."""
    factory = RollbackConnection if is_on_network(path) else WalConnection
    return {"connect_args": {"factory": factory, "timeout": _BUSY_TIMEOUT_S}}


def prepare(path: Path) -> None:
    """Create the database with its journal mode, which stays with the file whoever opens it."""
    factory = RollbackConnection if is_on_network(path) else WalConnection
    sqlite3.connect(path, factory=factory).close()


def set_aside_if_damaged(path: Path) -> Path | None:
    """Give a database that cannot be read another name, with its journals: that name, if it was one."""
    if not path.exists() or not _is_damaged(path):
        return None
    return set_aside(path, "damaged")


def set_aside(path: Path, why: str) -> Path:
    """Give a database another name, which ends with a word and a number, with its journals."""
    names = (path.with_name(f"{path.name}.{why}_{index}") for index in count(1))
    aside = next(name for name in names if not name.exists())
    for suffix in ("-wal", "-shm", "-journal", ""):
        file = path.with_name(f"{path.name}{suffix}")
        if file.exists():
            file.rename(aside.with_name(f"{aside.name}{suffix}"))
    return aside


def _is_damaged(path: Path) -> bool:
    with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)) as connection:
        return damage_in(connection) is not None


def is_on_network(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether `path` lies on a network filesystem, by the longest mount point that holds it."""
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    target = Path(os.path.realpath(path))
    kinds = {
        Path(fields[1].encode().decode("unicode_escape")): fields[2]
        for fields in (line.split() for line in lines)
        if len(fields) > 2
    }
    holding = [mount for mount in kinds if target.is_relative_to(mount)]
    if not holding:
        return False
    return kinds[max(holding, key=lambda mount: len(mount.parts))] in _NETWORK_FILESYSTEMS
