"""The server: a process of one thread that has imported what trials need and forks each trial from itself.

multiprocessing has a forkserver too. This one differs in what hpo needs: it kills what a trial left behind
before it says that the trial has ended, trials hold none of its descriptors, it dies with its scheduler, and
its user's script is not run again in it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable

from hpo.trial.lifeline import hold

REQUEST = struct.Struct("!q")
"""The process's key; the descriptors of its channel, lifeline and blobs travel with it."""
NUM_TRIAL_FDS = 4
MESSAGE = struct.Struct("!?qq")
"""Whether it has ended, its key, and its pid or (ended) its exit code as subprocess has it."""

_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.05
_GIVE_UP_S = 5.0
_EXEC_TRIAL = "import sys; sys.path[:] = {path!r}; from hpo_launchers.local import _child; _child.main({fds!r})"


def main(control_fd: int, lifeline_fd: int, modules: list[str], is_forking: bool) -> None:
    """Serve until the scheduler is gone."""
    hold(lifeline_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _adopt_orphans()
    if is_forking:
        from hpo_launchers.local import _preload

        _preload.load(modules)
    Server(socket.socket(fileno=control_fd), _fork_trial if is_forking else _exec_trial).serve()


class Server:
    def __init__(self, control: socket.socket, become_trial: Callable[[list[int]], None]) -> None:
        self._control = control
        self._become_trial = become_trial
        self._keys: dict[int, int] = {}  # of the processes that run, by pid
        self._codes: dict[int, tuple[int, float]] = {}  # of those whose group is not gone: exit code, since when
        self._wakeup, self._wakeup_write = socket.socketpair()
        self._wakeup.setblocking(False)
        self._wakeup_write.setblocking(False)

    def serve(self) -> None:
        # the handler does nothing: its byte in the wakeup socket ends the select
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup_write.fileno(), warn_on_full_buffer=False)
        while True:
            timeout_s = _POLL_S if self._codes else None
            ready, _, _ = select.select([self._control, self._wakeup], [], [], timeout_s)
            if self._wakeup in ready:
                self._wakeup.recv(4096)
            self._reap()
            if self._control in ready and not self._start_trial():
                os._exit(0)

    def _start_trial(self) -> bool:
        """Serve one request; False when the scheduler has hung up."""
        data, fds, _, _ = socket.recv_fds(
            self._control, REQUEST.size, NUM_TRIAL_FDS, getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        )
        if not data:
            return False
        (key,) = REQUEST.unpack(data)
        pid = os.fork()
        if pid == 0:
            self._leave_server()
            self._become_trial(fds)
        for fd in fds:
            os.close(fd)
        self._keys[pid] = key
        self._control.sendall(MESSAGE.pack(False, key, pid))
        return True

    def _leave_server(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for connection in (self._control, self._wakeup, self._wakeup_write):
            connection.close()
        os.setsid()

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (done := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = done
                if pid in self._keys:
                    self._codes[pid] = (os.waitstatus_to_exitcode(status), time.monotonic())
        for pid, (code, since) in list(self._codes.items()):
            if _kill_group(pid) and time.monotonic() - since < _GIVE_UP_S:
                continue
            del self._codes[pid]
            self._control.sendall(MESSAGE.pack(True, self._keys.pop(pid), code))


def _kill_group(pid: int) -> bool:
    """Kill what a trial left behind; whether there was anything.

    A group keeps its number from being used again for as long as it has members.
    """
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _fork_trial(fds: list[int]) -> None:
    code = 1
    try:
        from hpo_launchers.local import _child

        code = _child.run(fds)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _exec_trial(fds: list[int]) -> None:
    for fd in fds:
        os.set_inheritable(fd, True)
    os.execv(sys.executable, [sys.executable, "-c", _EXEC_TRIAL.format(path=sys.path, fds=fds)])


def _adopt_orphans() -> None:
    """Become the parent of what trials leave behind, so that its end can be waited for (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
