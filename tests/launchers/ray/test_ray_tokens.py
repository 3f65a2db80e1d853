"""A cluster that asks for a token, as every one does from Ray 2.61 on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hpo.errors import ConfigError
from tests.e2e.conftest import run_hpo
from tests.launchers import tasks
from tests.launchers.applications import opened

pytestmark = pytest.mark.slow

_TOKEN = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """That of a head of its own, which knows one token."""
    pytest.importorskip("ray")
    # sockets lie in it, whose paths are short
    folder = Path(tempfile.mkdtemp(prefix="hpo-ray-"))
    (folder / "token").write_text(_TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    options = ["--num-cpus=1", "--include-dashboard=false", "--object-store-memory=80000000"]
    of_token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    with subprocess.Popen(
        [*start, *options, f"--temp-dir={folder}"],
        env={**os.environ, **of_token, "RAY_USAGE_STATS_ENABLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as head:
        assert head.stdout is not None
        started = psutil.Process(head.pid)
        try:
            assert any("Ray runtime started" in line for line in head.stdout)
            yield f"127.0.0.1:{port}"
        finally:
            for process in [*started.children(recursive=True), started]:
                process.send_signal(signal.SIGKILL)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "asks for a token, and none is given"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}, "asks for a token, and the one that is given is"),
    ],
)
def test_a_cluster_whose_token_is_missing_or_wrong_is_told_at_once(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    joined = f"hydra.launcher.address={address}"
    with pytest.raises(ConfigError, match=said), opened("ray", tasks.return_number, tmp_path, joined):
        pass


def test_a_cluster_is_joined_with_its_token(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(f"{_TOKEN}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    search = ("+experiment=quadratic", "--multirun", "total_trials=2", "concurrent_trials=1")
    run = run_hpo(tmp_path, *search, "hydra/launcher=ray", f"hydra.launcher.address={address}")

    assert run.status == 0, run.stderr
    assert run.trials("state") == [("COMPLETE",)] * 2
