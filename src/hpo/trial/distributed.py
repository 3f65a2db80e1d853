"""A trial of several processes: PyTorch's elastic launch starts them, this one tells of them.

The first of them (rank 0) runs the trial: it writes its files, reports, and saves its checkpoints. The others run
the same task, with a trial that writes nothing. They find each other through torch.distributed; what rank 0 tells,
and what becomes of any of them, comes here through a socket.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import cloudpickle
from hydra._internal.execution_policy import _get_active_execution_whitelist
from omegaconf import DictConfig

from hpo.devices import num_processes
from hpo.errors import TrialError
from hpo.paths import TrialPaths
from hpo.records import Ended, State, Stop
from hpo.resolvers import own_resolvers
from hpo.trial import outcome
from hpo.trial.channel import FrameReader
from hpo.trial.link import Link
from hpo.trial.meeting import Casualty, Failed, Hello, Order, Tag, send_order
from hpo.trial.metadata import Metadata

# what a launcher sends a trial that stalls
_STACKS = signal.SIGUSR2
# the ranks find each other without the name of this machine, which need not lead anywhere
_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"
_POLL_S = 0.05
_TAG_TIMEOUT_S = 10.0
# of ranks, after the first one has told its end
_LEAVE_TIMEOUT_S = 60.0
_TERMINATE_S = 5.0


def run_distributed(config: DictConfig, paths: TrialPaths, link: Link) -> Ended:
    """Start the trial's processes, hand on what they tell, and wait for their end, which is the trial's.

    Raises TrialError for one that failed.
    """
    number = int(Metadata.of(paths)["number"])
    with tempfile.TemporaryDirectory(prefix="hpo_") as folder, _Ranks(config, paths, link, folder) as ranks:
        while ranks.is_running:
            ranks.wait(_POLL_S)
        ended = ranks.end(number)
    link.send(ended)
    if ended.state in (State.FAIL, State.FAIL_RECOVERABLE):
        raise TrialError(ended.reason)
    return ended


class _Ranks:
    """The processes that run, as a trial's own process sees them."""

    def __init__(self, config: DictConfig, paths: TrialPaths, link: Link, folder: str) -> None:
        self._paths = paths
        self._link = link
        self._order = _order(config, paths)
        self._num = num_processes(config)
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lifelines: list[socket.socket] = []
        self._pids: dict[int, int] = {}
        # to rank 0
        self._first: FrameReader | None = None
        self._told: Ended | None = None
        self._told_at: float | None = None
        # of another rank than the first, before that one told of its own end
        self._failed: Failed | None = None
        self._casualties = b""
        self._stop: Stop | None = None
        self._handler_before: Any = None
        self._start(folder)

    def __enter__(self) -> _Ranks:
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs: the ranks die with their lifelines."""
        for connection in self._lifelines:
            connection.close()
        self._listener.close()
        self._launch.terminate()
        try:
            self._launch.wait(_TERMINATE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._launch.pid, signal.SIGKILL)
            self._launch.wait()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # sockets and readers all of them
        self._selector.close()
        if self._handler_before is not None:
            signal.signal(_STACKS, self._handler_before)

    @property
    def is_running(self) -> bool:
        return self._launch.poll() is None

    def wait(self, timeout_s: float) -> None:
        """Hand on what has been told, and the search's wish to stop."""
        self._hear(timeout_s)
        why = self._link.stop_requested()
        if why is not None and why is not self._stop:
            self._stop = why
            if self._first is not None:
                self._first.stop(why)
        if self._told_at is not None and time.monotonic() - self._told_at > _LEAVE_TIMEOUT_S:
            self._launch.kill()

    def _hear(self, timeout_s: float) -> None:
        """Take in what has come."""
        for key, _ in self._selector.select(timeout_s):
            key.data(key.fileobj)

    def end(self, number: int) -> Ended:
        """How the trial ended, which is written down where rank 0 could not."""
        self._hear(0)
        told = self._told
        if told is not None and told.state not in (State.FAIL, State.FAIL_RECOVERABLE):
            return told
        killed = self._killed()
        if told is not None and killed is None and self._failed is None:
            return told
        ended = self._failed.ended if self._failed is not None and killed is None else self._death(number, killed)
        outcome.write(Metadata.of(self._paths), ended, key=outcome.OUTCOME)
        return ended

    def _killed(self) -> Casualty | None:
        """The rank that a signal has ended; what others raised came of that.

        The other way round, one that has lost its partners may abort in C, in the middle of a collective, and the
        launch asks those to terminate that are left.
        """
        has_reason = self._told is not None or self._failed is not None
        for each in self._all_casualties():
            if each.exit_code < 0 and not (has_reason and -each.exit_code in (signal.SIGABRT, signal.SIGTERM)):
                return each
        return None

    def _death(self, number: int, killed: Casualty | None) -> Ended:
        casualties = [killed] if killed is not None else self._all_casualties()
        reason = f"its {self._num} processes did not start, or ended without a word; see train.log"
        for each in casualties[:1]:
            how = f"was killed by {_signal_name(-each.exit_code)}"
            if each.exit_code >= 0:
                how = f"died with exit code {each.exit_code}"
            reason = f"rank {each.rank} of {self._num} (pid {each.pid}) {how}"
        return Ended(number, State.FAIL_RECOVERABLE, reason=reason)

    def _all_casualties(self) -> list[Casualty]:
        """Those that were there when the first one was noticed; the launch ends the others by itself."""
        casualties: list[Casualty] = pickle.loads(self._casualties) if self._casualties else []
        return casualties

    def _start(self, folder: str) -> None:
        address = str(Path(folder, "meeting"))
        self._listener.bind(address)
        self._listener.listen()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        environment = {"GLOO_SOCKET_IFNAME": _LOOPBACK, **os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
        self._launch = subprocess.Popen(
            [sys.executable, "-u", "-m", "hpo.trial.elastic", address, folder, str(self._num)],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        if threading.current_thread() is threading.main_thread():
            self._handler_before = signal.signal(_STACKS, self._ask_for_stacks)

    def _ask_for_stacks(self, *_: object) -> None:
        """Whoever asks this process for its stack wants those of the ranks."""
        for pid in self._pids.values():
            with contextlib.suppress(OSError):
                os.kill(pid, _STACKS)

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.settimeout(_TAG_TIMEOUT_S)
        try:
            tag = Tag(connection.recv(1))
        except (OSError, ValueError):  # it died on its way
            connection.close()
            return
        if tag is Tag.LIFELINE:
            self._lifelines.append(connection)
            send_order(connection, self._order)
        elif tag is Tag.EVENTS:
            reader = FrameReader(connection)
            self._selector.register(reader, selectors.EVENT_READ, self._read)
        else:
            self._selector.register(connection, selectors.EVENT_READ, self._hear_launch)

    def _hear_launch(self, connection: socket.socket) -> None:
        data = connection.recv(1 << 16)
        self._casualties += data
        if not data:
            self._selector.unregister(connection)
            connection.close()

    def _read(self, reader: FrameReader) -> None:
        frames, is_open = reader.read()
        for frame in frames:
            self._take(reader, frame)
        if not is_open:
            if reader is self._first:
                self._first = None
            self._selector.unregister(reader)
            reader.close()

    def _take(self, reader: FrameReader, frame: Any) -> None:
        if isinstance(frame, Hello):
            self._pids[frame.rank] = frame.pid
            if frame.rank == 0:
                self._first = reader
                if self._stop is not None:  # said while the processes were on their way
                    reader.stop(self._stop)
        elif isinstance(frame, Ended):
            self._told, self._told_at = frame, time.monotonic()
        elif isinstance(frame, Failed):
            if self._told is None and self._failed is None:
                self._failed = frame
        else:
            self._link.send(frame)


def _order(config: DictConfig, paths: TrialPaths) -> bytes:
    order = Order(
        config=config,
        directory=str(paths.root),
        resolvers=cloudpickle.dumps(own_resolvers()),
        whitelist=_get_active_execution_whitelist(),
        path=tuple(sys.path),
        arguments=tuple(sys.argv),
    )
    return bytes(cloudpickle.dumps(order))


def _signal_name(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
