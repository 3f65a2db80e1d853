"""A PostgreSQL server of the tests' own, from Debian's packages, on a port of this machine that is free."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import RDBStorage

PASSWORD = "a-secret-of-the-tests"
USER = "hpo_tests"
# the server does not run as root
_OWNER = "postgres"


@dataclass(frozen=True)
class Server:
    port: int
    programs: Path
    folder: Path

    def url(self, database: str) -> str:
        """Without the password, as it stands in configurations."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        words = ["psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        done = subprocess.run(
            [*words, "-c", statement],
            env={**os.environ, "PGPASSWORD": PASSWORD, "PATH": f"{self.programs}:{os.environ['PATH']}"},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def stop(self) -> None:
        self._control("stop", "--mode=immediate")

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off "
            "-c max_connections=100 -c shared_buffers=16MB"
        )
        self._control("start", f"--options={options}", f"--log={self.folder / 'server.log'}")

    def _control(self, *words: str) -> None:
        _as_owner(
            [str(self.programs / "pg_ctl"), *words, "--wait", "--silent", f"--pgdata={self.folder / 'data'}"]
        )


def missing() -> str | None:
    """Why there is no server here, if so."""
    if _programs() is None:
        return "needs Debian's package postgresql"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "needs setpriv, since the server does not run as root"
    return None


@contextmanager
def running_server() -> Iterator[Server]:
    programs = _programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="hpo-postgresql-"))
    try:
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, password):
                shutil.chown(path, _OWNER)
        _as_owner(
            [
                *(str(programs / "initdb"), "--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}"),
                *("--no-sync", "--no-locale", "--encoding=UTF8", f"--pgdata={folder / 'data'}"),
            ]
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = Server(port, programs, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_gone(server: Server) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        except OSError:
            return
    raise AssertionError("the server is still there")


def values_of_study(url: str, name: str) -> list[float | None]:
    """As anybody opens it with Optuna."""
    storage = RDBStorage(url.replace("@", f":{PASSWORD}@"))
    try:
        return [trial.value for trial in optuna.load_study(study_name=name, storage=storage).trials]
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    somewhere = shutil.which("initdb")
    return Path(somewhere).parent if somewhere else None


def _as_owner(words: list[str]) -> None:
    if os.geteuid() == 0:
        words = ["setpriv", f"--reuid={_OWNER}", f"--regid={_OWNER}", "--clear-groups", *words]
    done = subprocess.run(
        words, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr
