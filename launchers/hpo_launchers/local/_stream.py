"""Trials in processes of their own: one loop over the server and every trial's channel."""

from __future__ import annotations

import contextlib
import os
import pickle
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpo.records import Ended, Event, State, TrialSpec
from hpo_launchers import execution
from hpo_launchers.jobs import Composer, Job
from hpo_launchers.local import _blob
from hpo_launchers.local._channel import FrameReader, Returned
from hpo_launchers.local._child import Order, unpickled
from hpo_launchers.local._processes import Exited, Forked, Processes, ServerDied

_KILL_TIMEOUT_S = 10.0
# a trial whose end is told may still flush what it has; one that hangs then would hold its slot for ever
_LEAVE_TIMEOUT_S = 60.0
_SERVER_DIED = "the server that trials are forked from died"


@dataclass
class _Trial:
    """A trial whose process was asked for; its pid is known a moment later."""

    number: int
    environment: Mapping[str, str]
    reader: FrameReader
    lifeline: int
    pid: int | None = None
    ended: Ended | None = None
    returned: Returned | None = None
    told_at: float | None = None

    def signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """Also when its process is only about to start: it looks at its lifeline first."""
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1
        self.signal(signal.SIGKILL)


class LocalStream:
    """A hpo.search.stream.Stream; `environments` are what trials take turns on."""

    def __init__(
        self,
        composer: Composer,
        open_processes: Callable[[], Processes],
        surroundings: Callable[[bool], bytes],
        *,
        capacity: int,
        environments: Sequence[Mapping[str, str]],
        stop_timeout_s: float,
    ) -> None:
        self.capacity = capacity
        self._composer = composer
        self._open_processes = open_processes
        self._surroundings = surroundings
        self._environments = environments
        self._stop_timeout_s = stop_timeout_s
        self._wants_results = False
        self._queue: deque[Job] = deque()
        self._stopped: set[int] = set()
        self._running: dict[int, _Trial] = {}
        self._events: list[Event] = []
        self._selector = selectors.DefaultSelector()
        self._processes: Processes | None = None
        self._surroundings_blob: int | None = None
        self._template_blob: tuple[bytes, int] | None = None
        self._server()

    @property
    def pids(self) -> dict[int, int]:
        """The processes that run, by the number of their trial."""
        return {trial.number: trial.pid for trial in self._running.values() if trial.pid is not None}

    def renew(self, *, wants_results: bool) -> None:
        """Ship this process's environment, path and resolvers as they are now, and the jobs' returns back."""
        self._wants_results = wants_results
        if self._surroundings_blob is not None:
            os.close(self._surroundings_blob)
            self._surroundings_blob = None

    def submit(self, spec: TrialSpec) -> None:
        """Raises what Hydra raises for overrides that do not compose."""
        self._queue.append(self._composer.job(spec))
        self._fill()

    def wait(self, timeout_s: float | None = None) -> list[Event]:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._hurry_leavers()
        while self._running and not self._events:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._poll(left_s)
            if left_s == 0.0:
                break
        events, self._events = self._events, []
        return events

    def stop(self, number: int) -> None:
        self._stopped.add(number)
        if number in self._running:
            self._running[number].reader.stop()

    def close(self) -> None:
        """Let leave what is leaving, ask what runs to terminate, kill what does not, and stop the server."""
        self._queue.clear()
        try:
            for trial in self._running.values():
                if trial.told_at is None:
                    trial.signal(signal.SIGTERM)
            self._wait_for_ends(self._stop_timeout_s)
        finally:
            for trial in self._running.values():
                trial.kill()
            self._wait_for_ends(_KILL_TIMEOUT_S)
            self._close_files()

    def _wait_for_ends(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while any(trial.pid for trial in self._running.values()):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return
            self._poll(left_s)

    def _close_files(self) -> None:
        for trial in list(self._running.values()):
            self._forget(trial)
        if self._processes is not None:
            self._close_server(self._processes)
        self.renew(wants_results=False)
        if self._template_blob is not None:
            os.close(self._template_blob[1])
            self._template_blob = None

    def _fill(self) -> None:
        while self._queue and len(self._running) < self.capacity:
            if self._queue[0].number in self._running:
                return  # a second job of a trial that is still leaving
            self._start(self._queue.popleft())

    def _hurry_leavers(self) -> None:
        for trial in self._running.values():
            if trial.told_at is not None and time.monotonic() - trial.told_at > _LEAVE_TIMEOUT_S:
                trial.kill()

    def _start(self, job: Job) -> None:
        environment = self._least_used()
        order = Order(replace(job, template=b""), environment)
        connection, theirs = socket.socketpair()
        their_lifeline, lifeline = os.pipe()
        order_blob = _blob.make(pickle.dumps(order, protocol=pickle.HIGHEST_PROTOCOL))
        trial = _Trial(job.number, environment, FrameReader(connection), lifeline)
        try:
            blobs = (self._blob_of_surroundings(), self._blob_of_template(job.template), order_blob)
            with contextlib.suppress(ServerDied):  # which the next wait notices
                self._server().start(job.number, (theirs.fileno(), their_lifeline, *blobs))
        finally:
            theirs.close()
            os.close(their_lifeline)
            os.close(order_blob)
            self._running[job.number] = trial
            self._selector.register(trial.reader, selectors.EVENT_READ, trial)
        if job.number in self._stopped:
            trial.reader.stop()

    def _least_used(self) -> Mapping[str, str]:
        used = [trial.environment for trial in self._running.values()]
        return min(self._environments, key=used.count)

    def _blob_of_surroundings(self) -> int:
        if self._surroundings_blob is None:
            self._surroundings_blob = _blob.make(self._surroundings(self._wants_results))
        return self._surroundings_blob

    def _blob_of_template(self, template: bytes) -> int:
        if self._template_blob is None or self._template_blob[0] is not template:
            if self._template_blob is not None:
                os.close(self._template_blob[1])
            self._template_blob = (template, _blob.make(template))
        return self._template_blob[1]

    def _server(self) -> Processes:
        if self._processes is None:
            self._processes = self._open_processes()
            self._selector.register(self._processes, selectors.EVENT_READ, None)
        return self._processes

    def _close_server(self, processes: Processes) -> None:
        self._selector.unregister(processes)
        processes.close()
        self._processes = None

    def _poll(self, timeout_s: float | None) -> None:
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                self._hear()
            elif key.data.number in self._running:
                self._read(key.data)

    def _hear(self) -> None:
        """Take the server's news."""
        processes = self._server()
        try:
            news = processes.read()
        except ServerDied:
            self._close_server(processes)
            for trial in list(self._running.values()):
                trial.kill()
                self._end(trial, _SERVER_DIED)
        else:
            for message in news:
                if isinstance(message, Forked):
                    self._running[message.number].pid = message.pid
                elif isinstance(message, Exited):
                    self._end(self._running[message.number], f"its process died: {_spelled(message.code)}")
        self._fill()

    def _read(self, trial: _Trial) -> None:
        frames, is_open = trial.reader.read()
        for frame in frames:
            if isinstance(frame, Returned):
                trial.returned = frame
            elif isinstance(frame, Ended):
                trial.ended = frame
                if not self._wants_results:
                    # its slot is free when its process is gone; the scheduler can think of the next one meanwhile
                    trial.told_at = time.monotonic()
                    self._events.append(frame)
            else:
                self._events.append(frame)
        if not is_open:
            # the server will say when the process is gone
            self._unwatch(trial)

    def _unwatch(self, trial: _Trial) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(trial.reader)

    def _end(self, trial: _Trial, reason_of_death: str) -> None:
        self._read(trial)
        if trial.told_at is None:
            self._tell_end(trial, reason_of_death)
        self._forget(trial)

    def _tell_end(self, trial: _Trial, reason_of_death: str) -> None:
        returned = trial.returned
        ended = trial.ended or (returned.ended if returned else None)
        if ended is None:
            ended = Ended(trial.number, State.FAIL, reason=reason_of_death)
        result = _result(returned, ended) if self._wants_results or trial.ended is None else None
        self._events.append(replace(ended, result=result))

    def _forget(self, trial: _Trial) -> None:
        self._unwatch(trial)
        trial.reader.close()
        if trial.lifeline >= 0:
            os.close(trial.lifeline)
        del self._running[trial.number]


def _result(returned: Returned | None, ended: Ended) -> Any:
    """The trial's JobReturn; one that says how it ended where there is none."""
    if returned is None:
        return execution.failed_return(RuntimeError(ended.reason))
    try:
        return unpickled(returned.result)
    except Exception as error:
        return execution.failed_return(TypeError(f"the job's return value cannot be read here: {error!r}"))


def _spelled(code: int) -> str:
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"killed by signal {-code}"
