"""The processes of trials: those that run one, and those that wait for theirs with everything loaded."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import select
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from hpo_launchers.jobs import Job
from hpo_launchers.local import _blob
from hpo_launchers.local._channel import OrderSender
from hpo_launchers.local._child import DUMP_SIGNAL, Order
from hpo_launchers.local._place import Place
from hpo_launchers.local._processes import Exited, Forked, Processes, ServerDied

_KILL_TIMEOUT_S = 10.0
# for which a process waits for another trial with what the one before has left in it, on a GPU too
_IDLE_S = 5.0


@dataclass
class TrialProcess:
    """The scheduler's end of a process that was asked for; its pid is known a moment later."""

    key: int
    reader: OrderSender
    lifeline: int
    template: bytes
    generation: int
    pid: int | None = None
    # of the trials that it has run
    place: Place | None = None
    num_trials: int = 0
    has_trial: bool = False
    idle_since: float = 0.0

    def give(self, order: Order, template: int | None) -> None:
        """Let it run a trial: `template` is the file of a job's template that is not the one it has loaded."""
        self.place, self.has_trial = order.place, True
        self.num_trials += 1
        order_blob = _blob.make(pickle.dumps(order, protocol=pickle.HIGHEST_PROTOCOL))
        try:
            self.reader.send_files([order_blob] if template is None else [order_blob, template])
        finally:
            os.close(order_blob)

    def signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def dump_stack(self) -> None:
        """Have the stacks of its threads written into its log, also when it hangs in C."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, DUMP_SIGNAL)

    def kill(self) -> None:
        """Also when it is only about to start: it looks at its lifeline first."""
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1
        self.signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of it when it is gone."""
        self.reader.close()
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1


class Pool:
    """Starts processes through a server of its own, whose news show in `selector` (without data)."""

    def __init__(
        self,
        open_processes: Callable[[], Processes],
        surroundings: Callable[[bool], bytes],
        selector: selectors.BaseSelector,
        *,
        num_spares: int,
        trials_per_process: int | None = 1,
    ) -> None:
        self._open_processes = open_processes
        self._surroundings = surroundings
        self._selector = selector
        self._num_spares = num_spares
        self._trials_per_process = trials_per_process
        self._generation = 0
        self._keys = itertools.count()
        self._processes: dict[int, TrialProcess] = {}
        self._spares: deque[TrialProcess] = deque()
        self._idle: list[TrialProcess] = []  # those that have run trials, the newest last
        self._server: Processes | None = None
        self._surroundings_blob: int | None = None
        self._template: tuple[bytes, int] | None = None
        self.wants_results = False
        self._running_server()

    def start(self, job: Job, place: Place) -> TrialProcess:
        """Have a process run `job`: one that has run others in that place, before one that has run none."""
        process = self._experienced(place) or self._inexperienced(job.template)
        template = None
        if process.template is not job.template:
            process.template, template = job.template, self._blob_of(job.template)
        may_stay = self._trials_per_process is None or process.num_trials + 1 < self._trials_per_process
        process.give(Order(replace(job, template=b""), place, may_stay), template)
        return process

    def take_back(self, process: TrialProcess) -> None:
        """Keep a process for another trial, for a while; one of an earlier `renew` is let go."""
        process.has_trial = False
        if process.generation == self._generation:
            process.idle_since = time.monotonic()
            self._idle.append(process)
        else:
            process.reader.close()

    def let_go(self) -> float | None:
        """Have those leave that have waited for too long; the seconds until another one has."""
        now = time.monotonic()
        while self._idle and now - self._idle[0].idle_since >= _IDLE_S:
            self._idle.pop(0).reader.close()
        return self._idle[0].idle_since + _IDLE_S - now if self._idle else None

    def refill(self) -> None:
        """Start spare processes for the jobs to come, which are thought to be of the newest template."""
        while self._template is not None and len(self._spares) < self._num_spares:
            self._spares.append(self._start(self._template[0]))

    def hear(self) -> list[tuple[TrialProcess, int]]:
        """The processes that are gone, with their exit codes. Raises ServerDied, and has another one then."""
        gone = []
        server = self._running_server()
        try:
            news = server.read()
        except ServerDied:
            for waiting in [each for each in self._processes.values() if not each.has_trial]:
                waiting.kill()
                self.forget(waiting)
            self._processes.clear()
            self._close_server(server)
            raise
        for message in news:
            process = self._processes.get(message.key)
            if process is None:
                continue
            if isinstance(message, Forked):
                process.pid = message.pid
            elif isinstance(message, Exited):
                self.forget(process)
                gone.append((process, message.code))
        return gone

    def forget(self, process: TrialProcess) -> None:
        """Expect no more news of a process."""
        self._processes.pop(process.key, None)
        for waiting in (self._spares, self._idle):
            if process in waiting:
                waiting.remove(process)
        if not process.has_trial:
            process.close()

    def renew(self, *, wants_results: bool) -> None:
        """Ship this process's environment, path and resolvers as they are now to those that start from now on."""
        self.wants_results = wants_results
        self._generation += 1
        self._drop_spares()
        while self._idle:
            self._idle.pop().reader.close()
        if self._surroundings_blob is not None:
            os.close(self._surroundings_blob)
            self._surroundings_blob = None

    def close(self) -> None:
        """Stop the server when its processes are gone: those of trials must be, those that wait are ended here."""
        self.renew(wants_results=False)
        deadline = time.monotonic() + _KILL_TIMEOUT_S
        while self._processes and (left_s := deadline - time.monotonic()) > 0:
            if select.select([self._running_server()], [], [], left_s)[0]:
                with contextlib.suppress(ServerDied):
                    self.hear()
        for process in list(self._processes.values()):
            process.kill()
        if self._server is not None:
            self._close_server(self._server)
        if self._template is not None:
            os.close(self._template[1])
            self._template = None

    def _experienced(self, place: Place) -> TrialProcess | None:
        for process in reversed(self._idle):
            if process.place == place:
                self._idle.remove(process)
                return process
        return None

    def _inexperienced(self, template: bytes) -> TrialProcess:
        return self._spares.popleft() if self._spares else self._start(template)

    def _start(self, template: bytes) -> TrialProcess:
        connection, theirs = socket.socketpair()
        their_lifeline, lifeline = os.pipe()
        process = TrialProcess(next(self._keys), OrderSender(connection), lifeline, template, self._generation)
        try:
            fds = (theirs.fileno(), their_lifeline, self._blob_of_surroundings(), self._blob_of(template))
            with contextlib.suppress(ServerDied):  # which the next look at the news tells
                self._running_server().start(process.key, fds)
        finally:
            theirs.close()
            os.close(their_lifeline)
        self._processes[process.key] = process
        return process

    def _drop_spares(self) -> None:
        while self._spares:
            process = self._spares.popleft()
            process.kill()
            process.close()

    def _blob_of_surroundings(self) -> int:
        if self._surroundings_blob is None:
            self._surroundings_blob = _blob.make(self._surroundings(self.wants_results))
        return self._surroundings_blob

    def _blob_of(self, template: bytes) -> int:
        if self._template is None or self._template[0] is not template:
            if self._template is not None:
                os.close(self._template[1])
            self._template = (template, _blob.make(template))
        return self._template[1]

    def _running_server(self) -> Processes:
        if self._server is None:
            self._server = self._open_processes()
            self._selector.register(self._server, selectors.EVENT_READ, None)
        return self._server

    def _close_server(self, server: Processes) -> None:
        self._selector.unregister(server)
        server.close()
        self._server = None
