"""One scheduler at a time, among real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpo.errors import ExperimentError
from hpo.experiment.lock import SchedulerLock, holder_of

_HOLD = """
import sys
from pathlib import Path
from hpo.experiment.lock import SchedulerLock
lock = SchedulerLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
lock.release()
"""


@contextmanager
def held_by_another(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_second_scheduler_is_refused_with_the_host_and_process_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as process:
        with pytest.raises(
            ExperimentError, match=rf"has a scheduler already: process {process.pid} on {os.uname()[1]}"
        ):
            SchedulerLock(path)
        assert f"process {process.pid} on" in str(holder_of(path))

    assert not path.exists(), "who lets go of it takes its file away"
    assert holder_of(path) is None


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()

        assert path.exists()
        assert holder_of(path) is None
        SchedulerLock(path).release()


def test_a_process_holds_it_once_and_a_look_at_it_lets_nobody_else_in(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = SchedulerLock(path)
    try:
        assert f"process {os.getpid()} on" in str(holder_of(path))
        with pytest.raises(ExperimentError, match=f"process {os.getpid()} on"):
            SchedulerLock(path)
        done = subprocess.run(
            [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert "has a scheduler already" in done.stderr
    finally:
        lock.release()
    lock.release()
    SchedulerLock(path).release()


def test_of_many_that_come_at_once_one_at_a_time_has_it(tmp_path: Path) -> None:
    path, log = tmp_path / "lock", tmp_path / "log"
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom hpo.experiment.lock import SchedulerLock\n"
        "from hpo.errors import ExperimentError\n"
        "for _ in range(20):\n"
        "    try:\n"
        "        lock = SchedulerLock(Path(sys.argv[1]))\n"
        "    except ExperimentError:\n"
        "        continue\n"
        "    fd = os.open(sys.argv[2], os.O_CREAT | os.O_EXCL)\n"
        "    os.close(fd)\n"
        "    os.unlink(sys.argv[2])\n"
        "    lock.release()\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), str(log)]) for _ in range(4)]

    assert [process.wait() for process in processes] == [0] * 4
