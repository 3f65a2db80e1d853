"""Lets a process and all it started die with another one, however that dies: with the scheduler, or its trial.

The other one alone holds the writing end of a pipe, or its end of a socket, into which nothing is ever written.
When it is gone, the kernel itself signals whoever owns the reading end: also a process that blocks in C with the
GIL held and ignores SIGTERM. (PR_SET_PDEATHSIG would not do: a trial's parent is the server, not the scheduler.)
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import threading


def hold(fd: int) -> None:
    """Have the calling process's group killed when the other end of `fd` is closed.

    The process must be the leader of its group (after `os.setsid()`).
    """
    if hasattr(fcntl, "F_SETSIG"):
        # SIGKILL to the group instead of SIGIO to the process
        fcntl.fcntl(fd, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
        if select.select([fd], [], [], 0)[0]:
            os.killpg(0, signal.SIGKILL)
    else:
        threading.Thread(target=_wait_for_the_end, args=(fd,), name="lifeline", daemon=True).start()


def _wait_for_the_end(fd: int) -> None:
    os.read(fd, 1)
    os.killpg(0, signal.SIGKILL)
