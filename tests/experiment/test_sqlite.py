from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpo.experiment import sqlite


def journal_of(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])
    finally:
        connection.close()


def mounts(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "mounts").write_text("".join(f"{line} rw 0 0\n" for line in lines))
    return tmp_path / "mounts"


def test_a_local_file_gets_a_write_ahead_log_that_stays_with_it(tmp_path: Path) -> None:
    sqlite.prepare(tmp_path / "a.db")

    assert journal_of(tmp_path / "a.db") == "wal"


def test_every_connection_of_an_engine_has_the_pragmas(tmp_path: Path) -> None:
    path = tmp_path / "a b.db"
    engine = sa.create_engine(sqlite.url(path), **sqlite.engine_options(path))

    for _ in range(2):
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL
        engine.dispose()

    assert path.exists()


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "lustre", "cifs", "fuse.sshfs", "9p"])
def test_a_network_filesystem_gets_a_rollback_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    table = mounts(tmp_path, "/dev/vda / ext4", f"server:/x {tmp_path} {kind}")
    assert sqlite.is_on_network(tmp_path / "a.db", table)
    seen = sqlite.is_on_network
    monkeypatch.setattr(sqlite, "is_on_network", lambda path: seen(path, table))

    engine = sa.create_engine(sqlite.url(tmp_path / "a.db"), **sqlite.engine_options(tmp_path / "a.db"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    engine.dispose()

    assert journal_of(tmp_path / "a.db") == "delete"


def test_the_longest_mount_point_that_holds_the_file_decides(tmp_path: Path) -> None:
    table = mounts(
        tmp_path,
        "/dev/vda / ext4",
        "server:/x /data nfs4",
        "/dev/vdb /data/scratch xfs",
        "server:/y /data/scratch/my\\040files nfs",
    )

    assert not sqlite.is_on_network(Path("/database/a.db"), table), "/data is no prefix of /database"
    assert sqlite.is_on_network(Path("/data/a.db"), table)
    assert not sqlite.is_on_network(Path("/data/scratch/a.db"), table)
    assert sqlite.is_on_network(Path("/data/scratch/my files/a.db"), table)


def test_a_link_to_a_network_filesystem_is_followed(tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "remote")
    table = mounts(tmp_path, "/dev/vda / ext4", f"server:/x {tmp_path}/remote nfs")

    assert sqlite.is_on_network(tmp_path / "link" / "a.db", table)


def test_a_machine_without_a_table_of_mounts_is_taken_for_local(tmp_path: Path) -> None:
    assert not sqlite.is_on_network(tmp_path / "a.db", tmp_path / "none")
