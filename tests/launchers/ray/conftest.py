"""One Ray for each process that runs these tests, started when the first of them asks for it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# a process that has once joined with a token, or without one, cannot do the other after it
os.environ["RAY_AUTH_MODE"] = "disabled"
SMALL: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 80_000_000, "include_dashboard": False}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A ray.cluster_utils.Cluster of its head alone, to which tests add nodes."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Cluster(initialize_head=True, head_node_args=SMALL)
    yield made
    made.shutdown()


@contextmanager
def head(**environment: str) -> Iterator[tuple[str, psutil.Process]]:
    """A cluster of one node, as `ray start` makes it: its address, and the process that dies with it."""
    # sockets lie in it, whose paths are short
    folder = Path(tempfile.mkdtemp(prefix="hpo-ray-"))
    port, client_port, agent_port = (_free_port() for _ in range(3))
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    options = ["--num-cpus=2", "--include-dashboard=false", "--object-store-memory=80000000"]
    # those that it takes otherwise are the same for every cluster of a machine, and several processes may have one
    options += ["--min-worker-port=0", "--max-worker-port=0"]
    options += [f"--ray-client-server-port={client_port}", f"--dashboard-agent-listen-port={agent_port}"]
    with subprocess.Popen(
        [*start, *options, f"--temp-dir={folder}"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        started = psutil.Process(process.pid)
        try:
            assert any("Ray runtime started" in line for line in process.stdout)
            yield f"127.0.0.1:{port}", started
        finally:
            kill(started)
    shutil.rmtree(folder)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def kill_head_alone(head: psutil.Process) -> None:
    """And nothing else of its cluster, which is kept from noticing that by itself."""
    head.suspend()
    (gcs,) = [each for each in head.children(recursive=True) if "gcs_server" in each.name()]
    gcs.kill()


def kill(head: psutil.Process) -> None:
    """With all of its cluster."""
    for process in [*head.children(recursive=True), head] if head.is_running() else ():
        process.send_signal(signal.SIGKILL)
