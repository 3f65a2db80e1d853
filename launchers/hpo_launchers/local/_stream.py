"""Trials in processes of their own: one loop over the server and every trial's channel."""

from __future__ import annotations

import contextlib
import math
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import replace

from hpo.errors import ConfigError
from hpo.records import BEFORE_ITS_START, Ended, Event, Obstacle, Started, State, Stop, TrialSpec
from hpo.search.stream import Hear
from hpo_launchers import execution
from hpo_launchers.jobs import Composing, Job
from hpo_launchers.local._channel import Returned
from hpo_launchers.local._place import Place
from hpo_launchers.local._placing import Placing
from hpo_launchers.local._pool import Pool
from hpo_launchers.local._processes import Processes, ServerDied, spelled_exit
from hpo_launchers.local._trial import RunningTrial

_KILL_TIMEOUT_S = 10.0
# processes that wait for a trial with everything loaded
_MAX_SPARES = 6
# between two looks at what is used of the devices, where that matters
_LOOK_S = 1.0
_SERVER_DIED = "the server that trials are forked from died"


class LocalStream:
    """A hpo.search.stream.Stream; a trial starts when there is a place for it, and fewer than `capacity` run."""

    def __init__(
        self,
        composer: Composing,
        open_processes: Callable[[], Processes],
        surroundings: Callable[[bool], bytes],
        placing: Placing,
        *,
        capacity: int,
        stop_timeout_s: float,
        trials_per_process: int | None = 1,
    ) -> None:
        self.capacity = capacity
        self._composer = composer
        self._placing = placing
        self._next_look = 0.0
        self._next_hurry = math.inf
        self._stop_timeout_s = stop_timeout_s
        self._stopped: dict[int, Stop] = {}
        self._running: dict[int, RunningTrial] = {}
        self._events: list[Event] = []
        self._selector = selectors.DefaultSelector()
        num_spares = min(max(1, capacity - 2), _MAX_SPARES)
        self._pool = Pool(
            open_processes,
            surroundings,
            self._selector,
            num_spares=num_spares,
            trials_per_process=trials_per_process,
        )

    @property
    def pids(self) -> dict[int, int]:
        """The processes that run, by the number of their trial."""
        return {
            trial.number: trial.process.pid for trial in self._running.values() if trial.process.pid is not None
        }

    def renew(self, *, wants_results: bool) -> None:
        """Ship this process's environment, path and resolvers as they are now, and the jobs' returns back."""
        self._pool.renew(wants_results=wants_results)

    def submit(self, spec: TrialSpec) -> None:
        """Raises what Hydra raises for overrides that do not compose."""
        job = self._composer.job(spec)
        problem = self._problem(job)
        if problem is None:
            self._placing.add(job, self._composer.need(job))
            self._fill()
        else:
            self._end_in_line(Ended(job.number, State.FAIL, reason=problem))

    def problem(self, spec: TrialSpec) -> str | None:
        return self._problem(self._composer.job(spec))

    def wait(self, hear: Hear, timeout_s: float | None = None) -> None:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if time.monotonic() >= self._next_hurry:
            # the scheduler may have been elsewhere for long, and those may have left
            self._poll(0.0)
            self._hurry_leavers()
        self._look_if_due()
        while (self._running or self._placing) and not self._events:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._poll(self._until_next_look(left_s))
            if time.monotonic() >= self._next_hurry:
                self._hurry_leavers()
            self._look_if_due()
            if left_s == 0.0:
                break
        events, self._events = self._events, []
        for event in events:
            hear(event)

    def stop(self, number: int, why: Stop) -> None:
        if self._placing.withdraw(number):
            self._end_in_line(Ended(number, why.state, reason=BEFORE_ITS_START))
        elif number in self._running:
            self._running[number].process.reader.stop(why)
        else:
            self._stopped[number] = why.after(self._stopped.get(number))

    def kill(self, number: int, reason: str, state: State = State.FAIL) -> None:
        """Have it write its stack, ask it to terminate, and kill it when it does not."""
        if number in self._running:
            self._running[number].end_by_force(reason, state)
            self._next_hurry = min(self._next_hurry, self._running[number].next_step_at)

    def close(self) -> None:
        """Let leave what is leaving, ask what runs to terminate, kill what does not, and stop the server."""
        self._placing.clear()
        try:
            for trial in self._running.values():
                if not trial.is_told:
                    trial.process.signal(signal.SIGTERM)
            self._wait_for_ends(self._stop_timeout_s)
        finally:
            for trial in self._running.values():
                trial.process.kill()
            self._wait_for_ends(_KILL_TIMEOUT_S)
            for trial in list(self._running.values()):
                self._forget(trial)
            self._pool.close()

    def _wait_for_ends(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while any(trial.process.pid for trial in self._running.values()):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return
            self._poll(left_s)

    def _fill(self) -> None:
        if self._placing.must_look and len(self._placing):
            self._look()
        while len(self._running) < self.capacity:
            # a second job of a trial waits until the first has left
            found = self._placing.next(lambda job: job.number not in self._running)
            if found is None:
                return
            self._start(*found)

    def _problem(self, job: Job) -> str | None:
        try:
            return self._placing.problem(self._composer.need(job))
        except ConfigError as error:
            return str(error)

    def _until_next_look(self, left_s: float | None) -> float | None:
        now = time.monotonic()
        until_s = [left_s, self._pool.let_go()]
        if self._placing.must_look:
            until_s.append(max(0.0, self._next_look - now))
        if self._next_hurry < math.inf:
            until_s.append(max(0.0, self._next_hurry - now))
        return min((each for each in until_s if each is not None), default=None)

    def _look_if_due(self) -> None:
        if self._placing.must_look and time.monotonic() >= self._next_look:
            self._hurry_leavers()
            self._look()
            self._fill()

    def _look(self) -> None:
        """See what is used of the devices; end what ran on one that fell out, and what cannot do without it."""
        self._next_look = time.monotonic() + _LOOK_S
        for number, reason in self._placing.look({pid: number for number, pid in self.pids.items()}).items():
            self.kill(number, reason, State.FAIL_RECOVERABLE)
        for job, reason in self._placing.stranded():
            self._end_in_line(Ended(job.number, State.WAITING, reason=reason, obstacle=Obstacle.DEVICES))

    def _end_in_line(self, ended: Ended) -> None:
        """The end of a trial that never started."""
        result = execution.failed_return(RuntimeError(ended.reason)) if self._pool.wants_results else None
        self._events.append(replace(ended, result=result))

    def _hurry_leavers(self) -> None:
        now = time.monotonic()
        for trial in self._running.values():
            trial.hurry(now)
        self._next_hurry = min((trial.next_step_at for trial in self._running.values()), default=math.inf)

    def _start(self, job: Job, place: Place) -> None:
        process = self._pool.start(job, place)
        trial = RunningTrial(job.number, process)
        self._running[job.number] = trial
        self._selector.register(process.reader, selectors.EVENT_READ, trial)
        if job.number in self._stopped:
            process.reader.stop(self._stopped.pop(job.number))

    def _poll(self, timeout_s: float | None) -> None:
        for key, _ in self._selector.select(timeout_s):
            trial: RunningTrial | None = key.data
            if trial is None:
                self._hear()
            elif self._running.get(trial.number) is trial:  # and not a later job of its number
                self._read(trial)

    def _hear(self) -> None:
        """Take the server's news."""
        try:
            gone = self._pool.hear()
        except ServerDied:
            for trial in list(self._running.values()):
                trial.process.kill()
                self._end(trial, _SERVER_DIED)
        else:
            trials = {trial.process.key: trial for trial in self._running.values()}
            for process, code in gone:
                if process.key in trials:
                    self._end(trials[process.key], f"its process died: {spelled_exit(code)}")
        self._fill()

    def _read(self, trial: RunningTrial, *, is_gone: bool = False) -> None:
        frames, is_open = trial.process.reader.read()
        for frame in frames:
            if isinstance(frame, Returned):
                trial.returned = frame
                if frame.stays and not is_gone:
                    self._leave_process(trial)
                    return
            elif isinstance(frame, Ended):
                trial.ended = frame
                if not self._pool.wants_results:
                    # its slot is free when its process is gone; the scheduler can think of the next one meanwhile
                    trial.tell()
                    self._next_hurry = min(self._next_hurry, trial.next_step_at)
                    self._events.append(frame)
            else:
                self._events.append(frame)
                if isinstance(frame, Started):
                    # now that this one is on its way
                    self._pool.refill()
        if not is_open:
            # the server will say when the process is gone
            self._unwatch(trial)

    def _unwatch(self, trial: RunningTrial) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(trial.process.reader)

    def _end(self, trial: RunningTrial, reason_of_death: str) -> None:
        self._read(trial, is_gone=True)
        if not trial.is_told:
            self._events.append(trial.end(reason_of_death, wants_result=self._pool.wants_results))
        self._forget(trial)

    def _leave_process(self, trial: RunningTrial) -> None:
        """The trial is over, and its process ready for another one."""
        if not trial.is_told:
            self._events.append(trial.end("", wants_result=self._pool.wants_results))
        self._release(trial)
        if trial.killed_as is None:
            self._pool.take_back(trial.process)
        else:
            # a signal may be on its way
            trial.process.has_trial = False
            trial.process.kill()
        self._fill()

    def _forget(self, trial: RunningTrial) -> None:
        self._release(trial)
        self._pool.forget(trial.process)
        trial.process.close()

    def _release(self, trial: RunningTrial) -> None:
        self._unwatch(trial)
        self._placing.release(trial.number)
        del self._running[trial.number]
