"""Hostile addresses, broken and held databases, readers that never finish: through the command, over HTTP."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpo.paths import ExperimentPaths
from tests.conftest import REPOSITORY
from tests.dashboard.conftest import FIRST
from tests.dashboard.serving import Running, ask, running
from tests.dashboard.test_mounts import states

# HPO_WRITER_S=60 lets it write for a minute
WRITER_S = float(os.environ.get("HPO_WRITER_S", "1"))
PAGES = [
    "/",
    f"/experiments/{FIRST}",
    f"/experiments/{FIRST}/trials/0",
    f"/experiments/{FIRST}/data/history",
    f"/experiments/{FIRST}/data/importance",
]
OPTUNA = [f"/optuna/{FIRST}/api/studies", f"/optuna/{FIRST}/api/studies/1?after=0", f"/optuna/{FIRST}/csv/1"]
TENSORBOARD = [f"/tensorboard/{FIRST}/data/runs"]


@pytest.fixture
def copied(shown: Path, tmp_path: Path) -> ExperimentPaths:
    """The first experiment, to be maltreated."""
    shutil.copytree(ExperimentPaths(shown, FIRST).root, ExperimentPaths(tmp_path, FIRST).root)
    return ExperimentPaths(tmp_path, FIRST)


# ------------------------------------------------------------------------------- methods and paths


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "MKCOL"])
def test_no_method_changes_anything_anywhere(dashboard: Running, shown: Path, method: str) -> None:
    before = states(shown)
    for target in [*PAGES, *OPTUNA, *TENSORBOARD, f"/optuna/{FIRST}/api/studies/1", "/static/x", "*", "/"]:
        assert ask(dashboard.port, target, method=method, body=b"{}").status in (400, 405)

    assert states(shown) == before


@pytest.mark.parametrize(
    "target",
    [
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/static/../../../../../etc/passwd",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        f"/experiments/{FIRST}/files/../../../../../../etc/passwd",
        f"/experiments/{FIRST}/files/%2e%2e/%2e%2e/etc/passwd",
        f"/experiments/{FIRST}/files//etc/passwd",
        f"/experiments/{FIRST}/files/%2fetc%2fpasswd",
        "/experiments/../../etc/files/passwd",
        "/experiments/%2e%2e/files/passwd",
        f"/optuna/{FIRST}/static/../_app.py",
        f"/optuna/{FIRST}/static/..%2f_app.py",
        f"/optuna/{FIRST}/static/%2e%2e/_app.py",
        f"/optuna/{FIRST}/static//etc/passwd",
        f"/optuna/{FIRST}/../../../etc/passwd",
        f"/tensorboard/{FIRST}/../../../etc/passwd",
        f"/tensorboard/{FIRST}/data/plugin/projector/tensor?run=../..&name=/etc/passwd",
        f"/tensorboard/{FIRST}/data/plugin/debugger-v2/source_files/content?run=.&index=0",
        "/font-roboto/../../etc/passwd",
        "/font-roboto/%2e%2e/index.html",
    ],
)
def test_no_address_leads_out_of_the_directory(dashboard: Running, target: str) -> None:
    answer = ask(dashboard.port, target)

    assert answer.status in (400, 403, 404)
    assert "root:" not in answer.text
    assert "def " not in answer.text


def test_what_is_no_http_does_not_stop_the_dashboard(dashboard: Running) -> None:
    rng = random.Random(0)
    for raw in (
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        rng.randbytes(5000),
        b"A" * 200_000,
    ):
        with socket.create_connection(("127.0.0.1", dashboard.port)) as connection:
            connection.sendall(raw)
    assert ask(dashboard.port, "/" + "a" * 60_000).status in (400, 404, 431)
    assert ask(dashboard.port, headers=("Cookie: " + "a=b;" * 5000,)).status == 200
    assert ask(dashboard.port, "/?" + "&".join(f"a{number}=1" for number in range(5000))).status == 200


# ------------------------------------------------------------------------------- broken databases


def random_bytes(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(20_000))


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = random.Random(2).randbytes(len(content) - 4096)
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def without_tables(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (x)")


def gone(path: Path) -> None:
    path.unlink()


BROKEN = [random_bytes, truncated, damaged, emptied, a_folder, without_tables, gone]


@pytest.fixture(scope="module")
def maltreated(shown: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Running]]]:
    """Experiments that were broken while a first dashboard showed them; a second one found them broken."""
    folder = tmp_path_factory.mktemp("maltreated")
    roots = [ExperimentPaths(folder, break_.__name__) for break_ in BROKEN]
    for paths in roots:
        shutil.copytree(ExperimentPaths(shown, FIRST).root, paths.root)
        for path in (paths.study_db, paths.state_db):
            (paths.root / path.name.replace(paths.experiment_id, FIRST)).rename(path)
    with running(folder) as before, running(folder) as after:
        for paths, break_ in zip(roots, BROKEN, strict=True):
            assert ask(before.port, f"/optuna/{paths.experiment_id}/api/studies").status == 200
            break_(paths.study_db)
            break_(paths.state_db)
        yield folder, [before, after]


@pytest.mark.parametrize("break_", BROKEN, ids=lambda break_: str(break_.__name__))
def test_a_broken_database_is_told_and_stops_nothing(
    maltreated: tuple[Path, list[Running]], break_: Callable[[Path], None]
) -> None:
    folder, (before, after) = maltreated
    name = break_.__name__
    pages = [page.replace(FIRST, name) for page in PAGES]
    optuna = [f"/optuna/{name}/", f"/optuna/{name}/dashboard", f"/optuna/{name}/api/studies/1?after=0"]

    for dashboard in (before, after):
        for target in [*pages, *optuna]:
            answer = ask(dashboard.port, target)
            # optuna-dashboard's own endpoints say no more than that they failed
            assert answer.status in (200, 302, 404, 503) or (target in optuna and answer.status == 500)
            assert "Traceback" not in answer.text
        assert ask(dashboard.port).status == 200
        assert "Traceback" not in dashboard.said
    told = ask(after.port, f"/optuna/{name}/")
    if break_ not in (truncated, damaged):  # of which a part can be read
        assert told.status == 503
        assert str(ExperimentPaths(folder, name).study_db) in told.text


# ---------------------------------------------------------------------------- writers and readers


@contextmanager
def held(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """A database in the middle of a transaction that lets nobody else in."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("CREATE TABLE held (x)")
        yield connection
        connection.rollback()


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_database_that_a_writer_holds_keeps_no_reader_for_long(copied: ExperimentPaths, mode: str) -> None:
    with running(copied.experiment_dir) as dashboard:
        with held(copied.study_db, mode), held(copied.state_db, mode):
            for target in [OPTUNA[0], f"/optuna/{FIRST}/", *PAGES[:3]]:
                answer = ask(dashboard.port, target, timeout=15)
                assert answer.status in (200, 302, 503) or (target in OPTUNA and answer.status == 500)
        for target in [*OPTUNA, "/"]:
            assert ask(dashboard.port, target).status == 200


def written_while_read(
    paths: ExperimentPaths, seconds: float, *options: str, meanwhile: Callable[[], object] = lambda: None
) -> tuple[dict[str, Any], dict[int, int]]:
    """What a scheduler's writer met while everything was asked for without a pause, and the statuses of that."""
    counts: dict[int, int] = {}
    stop = threading.Event()

    def read(targets: list[str], port: int) -> None:
        while not stop.is_set():
            for target in targets:
                status = ask(port, target, timeout=60).status
                counts[status] = counts.get(status, 0) + 1

    with running(paths.experiment_dir) as dashboard:
        command = [sys.executable, "-m", "tests.dashboard.writer", str(paths.root), str(seconds), *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "started\n"
            readers = [
                threading.Thread(target=read, args=(targets, dashboard.port))
                for targets in (OPTUNA, PAGES, [*OPTUNA, *TENSORBOARD, *PAGES])
            ]
            for reader in readers:
                reader.start()
            idle = [socket.create_connection(("127.0.0.1", dashboard.port)) for _ in range(20)]
            try:
                for connection in idle:  # they ask, and never read the answer
                    connection.sendall(f"GET {OPTUNA[1]} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                meanwhile()
                result = json.loads(writer.stdout.readline())
            finally:
                stop.set()
                for connection in idle:
                    connection.close()
                for reader in readers:
                    reader.join()
        assert ask(dashboard.port).status == 200
    return result, counts


@pytest.mark.parametrize("mode", ["wal", "rollback"])
def test_readers_never_make_a_writer_fail(copied: ExperimentPaths, mode: str) -> None:
    result, counts = written_while_read(copied, WRITER_S, mode)

    assert result["failures"] == []
    assert result["transactions"] > 25
    assert result["slowest_s"] < 5
    assert counts[200] > 10
    with closing(sqlite3.connect(copied.study_db)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM trials").fetchone() == (result["trials"],)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_dashboard_that_stands_still_makes_no_writer_wait(copied: ExperimentPaths) -> None:
    """Stopped in the middle of what it reads, as by a debugger or a machine that swaps."""
    with running(copied.experiment_dir) as dashboard:
        asking = threading.Event()

        def read() -> None:
            while not asking.is_set():
                try:
                    ask(dashboard.port, OPTUNA[1], timeout=60)
                except OSError:
                    return

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        try:
            assert ask(dashboard.port, OPTUNA[1]).status == 200
            dashboard.process.send_signal(signal.SIGSTOP)
            command = [sys.executable, "-m", "tests.dashboard.writer", str(copied.root), "1"]
            done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True, timeout=60)
            result = json.loads(done.stdout.splitlines()[-1])
        finally:
            asking.set()
            dashboard.process.send_signal(signal.SIGCONT)
            for reader in readers:
                reader.join()

    assert result["failures"] == []
    assert result["slowest_s"] < 5
