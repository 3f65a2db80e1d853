"""The process of a job: runs trials as it is ordered, one after the other, each in a process of its own."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from hpo.paths import SlurmPaths
from hpo.records import Ended, Event, State, Stop, TrialSpec
from hpo_launchers.local._core import bare_stream
from hpo_launchers.slurm._frames import FrameReader, FrameWriter
from hpo_launchers.slurm._messages import Finish, FromJob, Gone, Kill, Left, Order, Ready, Refused, Said, Tell
from hpo_launchers.slurm._setup import Setup
from hpo_launchers.worker.composing import Ordered
from hpo_launchers.worker.loaded import pickled
from hpo_launchers.worker.surroundings import Surroundings

WARNING, TERMINATION = signal.SIGUSR1, signal.SIGTERM
"""The first comes before the time limit; the second with preemption, cancellation and the limit itself."""

_OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SBATCH_", "SUBMITIT_")
_REQUEUE_S = 60


def run(paths: SlurmPaths, key: str) -> None:
    """Run orders until there are no more, or the job has to end."""
    setup = Setup.read(paths.setup(key))
    reports = FrameWriter(paths.reports(key))
    surroundings = None
    problem = setup.misfit()
    if problem is None:
        surroundings = pickle.loads(paths.shared(setup.surroundings).read_bytes())
        if not Path(surroundings.working_directory).is_dir():
            problem = f"no directory {surroundings.working_directory}, in which the search was started"
    if surroundings is None or problem is not None:
        reports.append([Refused(f"{_node()} ({sys.executable}) has {problem}")])
        return
    # processes that are started from now on outlive both: it is the job that decides
    signal.signal(WARNING, signal.SIG_IGN)
    signal.signal(TERMINATION, signal.SIG_IGN)
    _Pilot(paths, key, setup, surroundings, reports).run()


class _Pilot:
    def __init__(
        self, paths: SlurmPaths, key: str, setup: Setup, surroundings: Surroundings, reports: FrameWriter
    ) -> None:
        self._paths = paths
        self._setup = setup
        self._reports = reports
        self._orders = FrameReader(paths.orders(key))
        self._wants_result = surroundings.wants_result
        self._jobs = Ordered()
        self._templates: dict[str, bytes] = {}
        self._waiting: deque[Order] = deque()
        self._told: dict[str, Tell | Kill] = {}
        self._running: Order | None = None
        self._outgoing: list[FromJob] = []
        self._signal: signal.Signals | None = None
        self._has_asked = False
        self._is_finished = False
        said = FrameReader(paths.reports(key)).read()
        # of earlier starts of the job, where Slurm has started it again
        self._ended = {each.key for each in said if isinstance(each, Said) and isinstance(each.event, Ended)}
        self._idle_since = time.monotonic()
        here = replace(surroundings, environment=_merged(surroundings))
        data = pickle.dumps(here, protocol=pickle.HIGHEST_PROTOCOL)
        self._stream = bare_stream(
            self._jobs,
            setup.modules,
            lambda _: data,
            stop_timeout_s=setup.stop_timeout_s,
            trials_per_process=setup.trials_per_process,
        )
        self._stream.renew(wants_results=surroundings.wants_result)
        signal.signal(WARNING, self._heed)
        signal.signal(TERMINATION, self._heed)

    def run(self) -> None:
        job_id, restarts = _job_id(), int(os.environ.get("SLURM_RESTART_COUNT", 0))
        self._outgoing.append(Ready(job_id, _node(), restarts))
        while not self._is_over():
            self._read_orders()
            self._start_next()
            self._reports.append(self._outgoing)
            self._outgoing.clear()
            if self._running is None:
                time.sleep(self._setup.poll_s)
            else:
                self._stream.wait(self._hear, self._setup.poll_s)
            self._leave_if_asked()
        self._stream.close()
        self._stream.wait(self._hear, 0.0)
        must_wait = bool(self._waiting or any(isinstance(each, Left) for each in self._outgoing))
        if self._signal is WARNING and must_wait and self._setup.requeue and not self._is_finished:
            self._reports.append(self._outgoing)
            if self._requeue(job_id):
                return
            self._outgoing.clear()
        if self._signal is not TERMINATION or self._is_finished:
            # otherwise Slurm knows what becomes of the job
            self._outgoing.append(Gone())
        self._reports.append(self._outgoing)

    def _heed(self, number: int, _frame: FrameType | None) -> None:
        self._signal = signal.Signals(number)

    def _is_over(self) -> bool:
        if self._running is not None:
            return self._is_finished
        if self._is_finished or self._signal is not None:
            return True
        if self._waiting:
            return False
        is_used_up = len(self._ended) >= self._setup.trials_per_job
        return is_used_up or time.monotonic() - self._idle_since > self._setup.idle_s

    def _read_orders(self) -> None:
        for message in self._orders.read():
            if isinstance(message, Order):
                if message.key not in self._ended:
                    self._waiting.append(message)
            elif isinstance(message, Finish):
                self._is_finished = True
            elif self._running is not None and self._running.key == message.key:
                self._obey(message)
            else:
                before = self._told.get(message.key)
                if isinstance(message, Tell) and isinstance(before, Tell):
                    message = replace(message, why=message.why.after(before.why))
                if not isinstance(before, Kill):
                    self._told[message.key] = message

    def _obey(self, message: Tell | Kill) -> None:
        assert self._running is not None
        number = self._running.job.number
        if isinstance(message, Tell):
            self._stream.stop(number, message.why)
        else:
            self._stream.kill(number, message.reason, message.state)

    def _start_next(self) -> None:
        if self._running is not None or self._signal is not None or self._is_finished or not self._waiting:
            return
        order = self._waiting.popleft()
        if order.template not in self._templates:
            self._templates[order.template] = self._paths.shared(order.template).read_bytes()
        job = replace(order.job, template=self._templates[order.template])
        self._jobs.jobs = {job.number: job}
        self._running = order
        self._has_asked = False
        told = self._told.pop(order.key, None)
        if isinstance(told, Tell):
            self._stream.stop(job.number, told.why)
        self._stream.submit(TrialSpec(job.number))
        if isinstance(told, Kill):
            self._obey(told)

    def _leave_if_asked(self) -> None:
        if self._signal is not None and self._running is not None and not self._has_asked:
            self._has_asked = True
            self._stream.stop(self._running.job.number, Stop.LEAVE)

    def _hear(self, event: Event) -> None:
        order = self._running
        if order is None:
            return
        if not isinstance(event, Ended):
            self._outgoing.append(Said(order.key, event))
            return
        self._running = None
        self._idle_since = time.monotonic()
        if self._signal is not None and _is_of_the_job(event):
            self._outgoing.append(Left(order.key, self._why()))
            return
        self._ended.add(order.key)
        result = pickled(event.result) if self._wants_result and event.result is not None else None
        self._outgoing.append(Said(order.key, replace(event, result=None), result))

    def _why(self) -> str:
        if self._signal is WARNING:
            return f"the time of {_name()} is nearly over: it goes back into the queue"
        return f"{_name()} is ended by Slurm: unless it was cancelled it goes back into the queue"

    def _requeue(self, job_id: str) -> bool:
        """Have Slurm put this job back into its queue, under its own number; whether it does."""
        done = subprocess.run(
            ["scontrol", "requeue", job_id], timeout=_REQUEUE_S, check=False, capture_output=True, text=True
        )
        if done.returncode:
            print(f"scontrol requeue {job_id}: {done.stderr.strip()}", file=sys.stderr)
        return done.returncode == 0


def _node() -> str:
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _job_id() -> str:
    """This job as squeue lists it: by the plain number of an array's last task Slurm means the whole array."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]


def _name() -> str:
    return f"Slurm job {_job_id()} on {_node()}"


def _is_of_the_job(ended: Ended) -> bool:
    """Whether a trial ended because its job has to: it has left, or lost processes that Slurm has terminated."""
    return ended.obstacle is None and ended.state in (State.WAITING, State.FAIL, State.FAIL_RECOVERABLE)


def _merged(surroundings: Surroundings) -> dict[str, str]:
    """The scheduler's environment; what the job has of its own, such as its GPUs, counts."""
    theirs: dict[str, Any] = {
        name: value
        for name, value in surroundings.environment.items()
        if not name.startswith(_OF_A_JOB) and name != "CUDA_VISIBLE_DEVICES"
    }
    return {**theirs, **os.environ}
