"""How a process that has run a trial leaves."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LEAVE = """
import threading
from concurrent.futures import ThreadPoolExecutor
from hpo_launchers.worker import leaving

has_said = threading.Event()
name_them = leaving._name_those_that_hold
leaving._REMARK_S = 0.05
leaving._name_those_that_hold = lambda: (name_them(), has_said.set())
{code}
leaving.leave()
print("has left")
"""
_STAYS = "threading.Thread(target=has_said.wait, args=(30,), name='mine', daemon={daemon}).start()"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", ""),
        (_STAYS.format(daemon=True), ""),
        (
            _STAYS.format(daemon=False),
            "the trial's process waits for threads that are no daemons: mine\n",
        ),
        # its threads end when the interpreter does
        ("pool = ThreadPoolExecutor(); pool.submit(int).result()", ""),
    ],
    ids=["nothing", "a daemon", "a thread", "a pool that has nothing to do"],
)
def test_threads_that_hold_the_process_are_named(code: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LEAVE.format(code=code)], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("has left\n", said)
