"""A process ends with its scheduler, by a connection into which nobody ever writes."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from hpo_launchers.ray._lifeline import Lifeline, end_with

SLOT = """
import sys, time
from hpo_launchers.ray._lifeline import end_with
print(end_with((sys.argv[1], int(sys.argv[2]))), flush=True)
time.sleep(600)
"""


@contextmanager
def slot(lifeline: Lifeline) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the other end."""
    command = [sys.executable, "-c", SLOT, *map(str, lifeline.address)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "None\n"
            yield process
        finally:
            process.kill()


def test_slots_end_when_their_scheduler_closes_and_not_before() -> None:
    lifeline = Lifeline("127.0.0.1")
    with slot(lifeline) as one, slot(lifeline) as other:
        assert (one.poll(), other.poll()) == (None, None)
        lifeline.close()
        assert (one.wait(20), other.wait(20)) == (1, 1)
    lifeline.close()


def test_nothing_is_kept_of_a_slot_that_is_gone() -> None:
    lifeline = Lifeline("127.0.0.1")
    before = psutil.Process().num_fds()
    for _ in range(3):
        with slot(lifeline) as process:
            process.kill()
    deadline = time.monotonic() + 20.0
    while psutil.Process().num_fds() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with slot(lifeline) as process:
        lifeline.close()
        assert process.wait(20) == 1


def test_an_address_that_is_none_of_this_machine_is_still_served() -> None:
    lifeline = Lifeline("192.0.2.77")
    with socket.create_connection(("127.0.0.1", lifeline.address[1])) as connection:
        lifeline.close()
        with suppress(ConnectionResetError):  # of one that was not yet taken
            assert connection.recv(1) == b""


def test_a_scheduler_that_cannot_be_reached_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    told = end_with(("127.0.0.1", port))
    assert told == f"the scheduler cannot be reached at 127.0.0.1:{port}: Connection refused"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_the_address_may_be_one_of_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    lifeline = Lifeline("::1")
    with slot(lifeline) as process:
        lifeline.close()
        assert process.wait(20) == 1
