"""The jobs of one scheduler, those that it has found among them: submitted, ordered, cancelled."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from hpo.errors import ClusterError
from hpo.files import replace_file
from hpo.paths import SlurmPaths
from hpo.records import Ended
from hpo.resources import NOTHING
from hpo_launchers.jobs import Job
from hpo_launchers.slurm import _commands
from hpo_launchers.slurm._commands import JobState, SlurmError
from hpo_launchers.slurm._frames import FrameReader
from hpo_launchers.slurm._messages import FromJob, Gone, Order, Refused, Said
from hpo_launchers.slurm._remote import RemoteJob, Trial
from hpo_launchers.slurm._setup import Setup
from hpo_launchers.slurm._submission import Submission, job_and_key

log = logging.getLogger(__name__)

_CANCEL_S = 15.0
# for which a job may still be in the queue that has said that it ends
_LEAVE_S = 60.0


class Fleet:
    """`surroundings` pickles this process; `setup` makes what a job is told from their name and its kind."""

    def __init__(
        self,
        submission: Submission,
        surroundings: Callable[[bool], bytes],
        setup: Callable[[str, str], Setup],
        trials_per_job: int,
    ) -> None:
        self.submission = submission
        self._surroundings = surroundings
        self._setup = setup
        self._trials_per_job = trials_per_job
        self._wants_results = False
        self._paths: SlurmPaths | None = None
        self._shared: dict[int, tuple[bytes, str]] = {}
        self._of_now: str | None = None
        self._jobs: dict[str, RemoteJob] = {}
        # those that said not long ago that they end, and when
        self._leaving: list[tuple[float, RemoteJob]] = []

    @property
    def jobs(self) -> Sequence[RemoteJob]:
        return list(self._jobs.values())

    @property
    def folder(self) -> Path | None:
        return None if self._paths is None else self._paths.root

    @property
    def is_busy(self) -> bool:
        return any(job.trial is not None for job in self._jobs.values())

    @property
    def numbers(self) -> set[int]:
        """The trials that jobs have."""
        return {job.trial.job.number for job in self._jobs.values() if job.trial is not None}

    @property
    def keys(self) -> set[str]:
        return {job.trial.key for job in self._jobs.values() if job.trial is not None}

    def renew(self, *, wants_results: bool) -> None:
        """From now on jobs are like this process is now."""
        self._wants_results = wants_results
        self._of_now = None

    def settle_in(self, job: Job) -> None:
        """Have a folder, in the directory of the sweep."""
        if self._paths is None:
            self._paths = SlurmPaths.below(Path(str(job.config().hydra.sweep.dir)).absolute())
        self._paths.root.mkdir(parents=True, exist_ok=True)

    def job_of(self, number: int) -> RemoteJob | None:
        found = (job for job in self._jobs.values() if job.trial is not None and job.trial.job.number == number)
        return next(found, None)

    def give_to_idle(self, trial: Trial) -> bool:
        """Let a job that has nothing to do run a trial; whether there is one."""
        idle = [job for job in self._jobs.values() if job.is_idle]
        kind = self._kind(trial) if idle else None
        for job in idle:
            if job.kind == kind:
                self._order(job, trial)
                return True
        return False

    def submit(self, trials: Iterable[Trial]) -> None:
        """A job for each trial. Raises SlurmError where Slurm does not take them; others may have been taken."""
        assert self._paths is not None
        paths, name = self._paths, self._name
        for need, same in groupby(sorted(trials, key=lambda one: repr(one.need)), lambda one: one.need):
            jobs = []
            for trial in same:
                key = uuid.uuid4().hex[:12]
                kind = self._kind(trial)
                self._setup(self._surroundings_name(), kind).write(paths.setup(key))
                for path in (paths.orders(key), paths.reports(key)):
                    # both are there from the beginning, so that nobody's cache remembers that they were not
                    path.touch()
                job = RemoteJob.at(paths, key, kind, self._trials_per_job)
                self._order(job, trial)
                jobs.append(job)
            try:
                job_ids = self.submission.submit(paths, [job.key for job in jobs], need, name)
            except SlurmError:
                for job in jobs:
                    self.clear_up(job)
                raise
            for job, job_id in zip(jobs, job_ids, strict=True):
                self._jobs[job.key] = replace(job, job_id=job_id)

    def forget(self, job: RemoteJob) -> None:
        self._jobs.pop(job.key, None)

    def clear_up(self, job: RemoteJob) -> None:
        """Remove the files of a job that came to its end in order: there are thousands of them in the end."""
        self.forget(job)
        now = time.monotonic()
        self._leaving = [(at, each) for at, each in self._leaving if now - at < _LEAVE_S] + [(now, job)]
        assert self._paths is not None
        for path in self._paths.files_of(job.key, job.job_id):
            path.unlink(missing_ok=True)

    def states(self) -> dict[str, JobState]:
        """Raises SlurmError where Slurm does not answer."""
        return _commands.states_of(self._name, [job.job_id for job in self._jobs.values()])

    def cancel_quietly(self, jobs: Iterable[RemoteJob], *, only_pending: bool = False) -> None:
        """Have Slurm end jobs; one that may go on is told."""
        try:
            _commands.cancel([job.job_id for job in jobs], only_pending=only_pending)
        except SlurmError as error:
            log.warning("WARNING: jobs of Slurm may go on: %s", error)

    def last_words(self, job: RemoteJob) -> str | None:
        """The end of what a job has written to its stderr."""
        assert self._paths is not None
        return _commands.last_line(self._paths.error_log(job.job_id))

    def close(self, timeout_s: float, poll_s: float) -> None:
        """Idle jobs end by themselves; what waits or runs a trial is cancelled, and the rest after `timeout_s`."""
        idle = [job for job in self._jobs.values() if job.is_ready and job.trial is None]
        for job in idle:
            job.finish()
        others = [job for job in self._jobs.values() if job not in idle]
        if others:
            self.cancel_quietly(others)
        idle += [job for _, job in self._leaving]
        left = self._wait_until_gone([*others, *idle], timeout_s, poll_s)
        if left:
            self.cancel_quietly(left)
            self._wait_until_gone(left, _CANCEL_S, poll_s)
        self._jobs.clear()
        self._leaving.clear()

    def _wait_until_gone(self, jobs: list[RemoteJob], timeout_s: float, poll_s: float) -> list[RemoteJob]:
        """The jobs that Slurm still has after that time."""
        deadline = time.monotonic() + timeout_s
        while jobs:
            with suppress(SlurmError):
                states = _commands.states_of(self._name, [job.job_id for job in jobs])
                jobs = [job for job in jobs if states[job.job_id].is_alive]
            if time.monotonic() > deadline:
                break
            if jobs:
                time.sleep(poll_s)
        return jobs

    def adopt(self, directory: Path, numbers: Collection[int]) -> list[RemoteJob]:
        """The jobs of an earlier scheduler that run or wait, with those of their trials that have these numbers.

        Raises ClusterError where Slurm does not answer.
        """
        self._paths = paths = SlurmPaths.below(directory)
        found = dict(filter(None, map(job_and_key, paths.submitted)))
        if not found:
            return []
        try:
            states = _commands.states_of(self._name, found)
        except SlurmError as error:
            raise ClusterError(f"Slurm does not say which trials of {directory} still run: {error}") from error
        adopted = []
        for job_id in (job_id for job_id, state in states.items() if state.is_alive):
            job = self._read(found[job_id], job_id, numbers)
            if job is not None:
                self._jobs[job.key] = job
                adopted.append(job)
        return adopted

    def _read(self, key: str, job_id: str, numbers: Collection[int]) -> RemoteJob | None:
        """A job as its files tell it; None of one that is about to end."""
        assert self._paths is not None
        try:
            setup = Setup.read(self._paths.setup(key))
        except (OSError, ValueError, TypeError):  # half written
            return None
        said: list[FromJob] = FrameReader(self._paths.reports(key)).read()
        if said and isinstance(said[-1], Gone | Refused):
            return None
        ended = {each.key for each in said if isinstance(each, Said) and isinstance(each.event, Ended)}
        ordered = FrameReader(self._paths.orders(key)).read()
        orders = [each for each in ordered if isinstance(each, Order)]
        job = RemoteJob.at(self._paths, key, setup.kind, setup.trials_per_job - len(orders))
        job.job_id = job_id
        for order in orders:
            if order.key not in ended and order.job.number in numbers:
                template = self._paths.shared(order.template).read_bytes()
                job.trial = Trial(order.key, replace(order.job, template=template), NOTHING)
        return job

    @property
    def _name(self) -> str:
        """By which squeue finds the jobs of this sweep."""
        assert self._paths is not None
        return _commands.job_name(self._paths.root.parent)

    def _order(self, job: RemoteJob, trial: Trial) -> None:
        job.order(trial, self._name_of(trial.job.template), replace(trial.job, template=b""))

    def _kind(self, trial: Trial) -> str:
        """Jobs of one kind can run each other's trials: they are as large, and like the same process."""
        return f"{self._surroundings_name()} {trial.need}"

    def _surroundings_name(self) -> str:
        if self._of_now is None:
            self._of_now = self._write(self._surroundings(self._wants_results))
        return self._of_now

    def _name_of(self, template: bytes) -> str:
        """The shared file of a template; the templates of one composition are one object."""
        known = self._shared.get(id(template))
        if known is None:
            # it is kept, so that its identity is nobody else's
            known = self._shared[id(template)] = template, self._write(template)
        return known[1]

    def _write(self, data: bytes) -> str:
        assert self._paths is not None
        digest = hashlib.sha256(data).hexdigest()[:20]
        path = self._paths.shared(digest)
        if not path.exists():
            replace_file(path, data)
        return digest
