"""However a scheduler ends, nothing that it started goes on."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

_ROOT = Path(__file__).parents[3]
_DEADLINE_S = 60.0


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_trials_die_with_their_scheduler(tmp_path: Path, start_method: str, death: signal.Signals) -> None:
    command = [sys.executable, "-m", "tests.launchers.scheduler", start_method, str(tmp_path)]
    # output that a survivor would hold open is no pipe of ours
    with (tmp_path / "output").open("w") as output:
        scheduler = psutil.Popen(command, cwd=_ROOT, stdout=output, stderr=output, preexec_fn=_heed_interrupts)
    try:
        started = _wait_for_descendants(scheduler, tmp_path / "ready")
        scheduler.send_signal(death)
        _, alive = psutil.wait_procs([*started, scheduler], timeout=_DEADLINE_S)
    finally:
        if scheduler.is_running():
            scheduler.kill()
        scheduler.wait()
    assert not [process for process in alive if process.is_running() and process.status() != "zombie"]


def _heed_interrupts() -> None:
    """What runs in the background of a shell, as these tests may, has Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait_for_descendants(scheduler: psutil.Popen, ready: Path) -> list[psutil.Process]:
    """The server, the trial, its subprocess, two workers, and what those needed."""
    deadline = time.monotonic() + _DEADLINE_S
    while not ready.exists() or not ready.read_text():
        assert scheduler.poll() is None, (ready.parent / "output").read_text()
        assert time.monotonic() < deadline, "the trial did not start"
        time.sleep(0.01)
    started = scheduler.children(recursive=True)
    assert len(started) >= 5, started
    assert any("sleep" in process.name() for process in started)
    return started


def test_the_server_dies_with_a_scheduler_that_has_started_no_trial(tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from tests.launchers import tasks\n"
        "from tests.launchers.applications import opened\n"
        f"with opened('local', tasks.return_number, Path({str(tmp_path)!r})) as launcher:\n"
        "    print(launcher._stream._pool._server.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with (tmp_path / "errors").open("w") as errors:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, check=False
        )
    assert done.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(timeout=_DEADLINE_S)
