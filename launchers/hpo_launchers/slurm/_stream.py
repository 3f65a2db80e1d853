"""Trials in jobs of Slurm: gives them out, reads what they say, and looks at Slurm's queue for the silent ones."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection, Set
from dataclasses import replace
from pathlib import Path

from hpo.records import BEFORE_ITS_START, Ended, Requeued, State, Stop, TrialSpec
from hpo.resources import Need
from hpo.search.stream import Hear, Stream
from hpo_launchers.jobs import Composer
from hpo_launchers.slurm._commands import JobState, SlurmError
from hpo_launchers.slurm._fleet import Fleet
from hpo_launchers.slurm._messages import FromJob, Gone, Left, Ready, Refused, Said
from hpo_launchers.slurm._patience import Patience
from hpo_launchers.slurm._remote import RemoteJob, Trial
from hpo_launchers.worker.remote_stream import RemoteStream

log = logging.getLogger(__name__)

# jobs in a row that end without a word, until it is the cluster and not a node that has failed
_MAX_MUTE = 3


class SlurmStream(RemoteStream):
    """A hpo.search.stream.Stream, Placing, Distant and Lasting; `fleet` has the jobs."""

    def __init__(
        self,
        composer: Composer,
        fleet: Fleet,
        nearby: Callable[[], Stream],
        *,
        capacity: int,
        poll_s: float,
        queue_poll_s: float,
        stop_timeout_s: float,
    ) -> None:
        super().__init__(composer, nearby, capacity)
        self._fleet = fleet
        self._poll_s = poll_s
        self._queue_poll_s = queue_poll_s
        self._stop_timeout_s = stop_timeout_s
        self._line: list[Trial] = []
        self._stopped: dict[int, Stop] = {}
        self._next_look = time.monotonic() + queue_poll_s
        self._patience = Patience()
        self._problems: dict[Need, str | None] = {}
        # jobs that wait in Slurm's queue, and need not
        self._unneeded: list[RemoteJob] = []
        # jobs in a row that ended without a word; of the first that shows nobody has heard any
        self._num_mute = _MAX_MUTE - 1

    def renew(self, *, wants_results: bool) -> None:
        """Ship this process's environment, path and resolvers as they are now, and the jobs' returns back."""
        self._wants_results = wants_results
        self._fleet.renew(wants_results=wants_results)

    def misfit(self, need: Need) -> str | None:
        """Why Slurm would never run a trial of that need; it is asked once."""
        if need not in self._problems:
            self._problems[need] = self._fleet.submission.misfit(need)
        return self._problems[need]

    def submit(self, spec: TrialSpec) -> None:
        """Raises what Hydra raises for overrides that do not compose."""
        composed = self._composed(spec)
        if composed is None:
            return
        job, need = composed
        self._fleet.settle_in(job)
        key = f"{job.number}-{uuid.uuid4().hex[:8]}"
        self._line.append(Trial(key, job, need, told=self._stopped.pop(job.number, None)))

    def adopt(self, directory: Path, numbers: Collection[int]) -> Set[int]:
        """Raises ClusterError where Slurm does not answer: nobody knows then what runs."""
        return {job.trial.job.number for job in self._fleet.adopt(directory, numbers) if job.trial is not None}

    def wait(self, hear: Hear, timeout_s: float | None = None) -> None:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self._withdraw()
            self._give_out()
            self._read_reports()
            if time.monotonic() >= self._next_look:
                self._look()
            left_s = None if deadline is None else deadline - time.monotonic()
            is_over = left_s is not None and left_s <= 0
            if self._events or is_over or not (self._line or self._fleet.is_busy):
                break
            time.sleep(self._poll_s if left_s is None else min(self._poll_s, left_s))
        self._hand_over(hear)

    def stop(self, number: int, why: Stop) -> None:
        if (waiting := self._withdrawn(number)) is not None:
            self._tell(Ended(number, why.state, reason=BEFORE_ITS_START))
            self._line.remove(waiting)
        elif (job := self._fleet.job_of(number)) is not None and job.trial is not None:
            job.trial.told = why.after(job.trial.told)
            job.tell(why)
            self._hurry(job)
        else:
            self._stopped[number] = why.after(self._stopped.get(number))

    def kill(self, number: int, reason: str, state: State = State.FAIL) -> None:
        """Have the job end its trial by force; one that has not begun is cancelled."""
        job = self._fleet.job_of(number)
        if job is not None and job.trial is not None and job.trial.killed_as is None:
            job.kill(reason, state)
            self._hurry(job)

    def close(self) -> None:
        """Let jobs without a trial end, cancel the others, and wait until Slurm has none of them any more."""
        self._line.clear()
        self._fleet.close(self._stop_timeout_s, self._poll_s)

    def _withdrawn(self, number: int) -> Trial | None:
        return next((trial for trial in self._line if trial.job.number == number), None)

    def _hurry(self, job: RemoteJob) -> None:
        """A job that waits in Slurm's queue will not be needed there."""
        if not job.is_ready:
            self._unneeded.append(job)

    def _withdraw(self) -> None:
        """Cancel, with one command, the jobs that have not begun and need not."""
        if self._unneeded:
            self._fleet.cancel_quietly(self._unneeded, only_pending=True)
            self._unneeded.clear()
            self._next_look = time.monotonic() + self._poll_s

    def _give_out(self) -> None:
        """Let what waits begin, in idle jobs first, in jobs of its own otherwise."""
        ready: list[Trial] = []
        busy = self._fleet.numbers
        for trial in self._line:
            # a second job of a trial waits until the first has left
            if len(busy) + len(ready) >= self.capacity or trial.job.number in busy:
                continue
            if self._fleet.give_to_idle(trial):
                busy = self._fleet.numbers
            else:
                ready.append(trial)
        given = {trial.key for trial in self._line if trial.job.number in busy} & self._fleet.keys
        self._line = [trial for trial in self._line if trial.key not in given]
        if ready and self._patience.may_try:
            self._submit(ready)

    def _submit(self, trials: list[Trial]) -> None:
        try:
            self._fleet.submit(trials)
        except SlurmError as error:
            if self._patience.refused(str(error), is_busy=self._fleet.is_busy):
                for trial in trials:
                    self._line.remove(trial)
                    self._wait_for_cluster(trial.job.number, f"Slurm takes no jobs: {error}")
        else:
            self._patience.accepted()
        self._line = [trial for trial in self._line if trial.key not in self._fleet.keys]

    def _read_reports(self) -> None:
        for job in self._fleet.jobs:
            for message in job.news():
                self._num_mute = 0
                self._take(job, message)

    def _take(self, job: RemoteJob, message: FromJob) -> None:
        trial = job.trial
        if isinstance(message, Ready):
            job.host, job.is_ready = message.host, True
        elif isinstance(message, Refused):
            self._fleet.forget(job)
            if trial is not None:
                self._wait_for_cluster(
                    trial.job.number, f"{job.name} cannot run trials of this search: {message.reason}"
                )
        elif isinstance(message, Gone):
            self._fleet.clear_up(job)
            if trial is not None and not self._is_as_told(trial):
                self._line.insert(0, trial)
        elif trial is not None and trial.key == message.key:
            if isinstance(message, Left):
                self._requeue(job, trial, message.reason)
            else:
                self._hear(job, trial, message)

    def _hear(self, job: RemoteJob, trial: Trial, said: Said) -> None:
        event = said.event
        if not isinstance(event, Ended):
            self._events.append(event)
            return
        job.trial = None
        must_go_on = event.state is State.WAITING and event.obstacle is None and trial.told in (None, Stop.PRUNE)
        if must_go_on and trial.killed_as is None:
            # an earlier scheduler has told it to leave
            self._again(trial, "the search goes on")
            return
        self._tell(event, said.result)

    def _requeue(self, job: RemoteJob, trial: Trial, reason: str) -> None:
        """Its job goes back into Slurm's queue, and starts it again; or it is at its end, which shows later."""
        if self._is_as_told(trial, reason):
            job.trial = None
            self._fleet.cancel_quietly([job])
        else:
            job.is_ready = False
            self._events.append(Requeued(trial.job.number, reason))
        self._next_look = min(self._next_look, time.monotonic() + 2 * self._poll_s)

    def _is_as_told(self, trial: Trial, reason: str = BEFORE_ITS_START) -> bool:
        """Whether a trial was to end anyhow, which then is its end."""
        if trial.killed_as is not None:
            why, state = trial.killed_as
            self._tell(Ended(trial.job.number, state, reason=why))
        elif trial.told is not None:
            self._tell(Ended(trial.job.number, trial.told.state, reason=reason))
        return trial.killed_as is not None or trial.told is not None

    def _again(self, trial: Trial, reason: str) -> None:
        self._events.append(Requeued(trial.job.number, reason))
        self._line.insert(0, replace(trial, key=f"{trial.job.number}-{uuid.uuid4().hex[:8]}", told=None))

    def _look(self) -> None:
        """See which jobs are in Slurm's queue, and what became of those that are not."""
        self._next_look = time.monotonic() + self._queue_poll_s
        jobs = list(self._fleet.jobs)
        if not jobs:
            return
        try:
            states = self._fleet.states()
        except SlurmError as error:
            log.warning("WARNING: Slurm's queue cannot be read: %s", error)
            return
        for job in jobs:
            state = states[job.job_id]
            if state.is_alive:
                job.is_missed = False
                if state.is_pending and job.is_ready and job.trial is not None:
                    # its node has failed, or it was preempted
                    self._requeue(job, job.trial, f"{job.name} has lost its node: it goes back into the queue")
            elif not job.is_missed:
                # it may be between two states, and its last words on their way
                job.is_missed = True
                self._next_look = min(self._next_look, time.monotonic() + max(4 * self._poll_s, 0.5))
            elif job in self._fleet.jobs:
                self._end(job, state)

    def _end(self, job: RemoteJob, state: JobState) -> None:
        """A job is at its end without having said so."""
        trial = job.trial
        self._fleet.forget(job)
        if trial is None:
            return
        is_mute = job.host is None and state.has_failed
        self._num_mute += is_mute
        if (job.host is None or trial.killed_as is not None) and self._is_as_told(trial):
            return
        if state.is_preempted:
            self._again(trial, f"{job.name} was preempted: it goes back into the queue")
        elif is_mute and self._num_mute >= _MAX_MUTE:
            said = self._fleet.last_words(job)
            self._wait_for_cluster(
                trial.job.number,
                f"{job.name} {state.said} before it could say a word in {self._fleet.folder}: the nodes must see "
                f"that directory, and hpo's Python{f' (it said: {said})' if said else ''}",
            )
        else:
            self._tell(Ended(trial.job.number, State.FAIL_RECOVERABLE, reason=f"{job.name} {state.said}"))
