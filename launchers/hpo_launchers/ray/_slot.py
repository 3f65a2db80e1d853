"""The actor: runs trials one after the other, each in a process of its own that is forked with all loaded."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo.records import Ended, Event, State, TrialSpec
from hpo_launchers.local._core import bare_stream
from hpo_launchers.local._stream import LocalStream
from hpo_launchers.ray._lifeline import end_with
from hpo_launchers.ray._messages import Answer, Greeting, Order, Refused, Said, Setup, Start, Tell
from hpo_launchers.ray._storage import Keeping, TrialStorage
from hpo_launchers.worker.composing import Ordered
from hpo_launchers.worker.directories import Directories
from hpo_launchers.worker.loaded import pickled
from hpo_launchers.worker.surroundings import Surroundings
from hpo_launchers.worker.versions import misfit, versions

# what a process of Ray has of its own, and its trials are not to have from the scheduler
_OF_RAY = ("RAY_", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
# which Ray sets to the number of CPUs, and threads_per_trial rules here
_THREADS = "OMP_NUM_THREADS"
# for which a slot waits, when its trial has said something, for what else it says: an answer costs milliseconds
_GATHER_S = 0.02
# until a directory that has just been made must be seen through a network's file system
_SEEN_S = 10.0


class Slot:
    """One trial at a time. Nothing runs in the background: trials are heard during `turn`."""

    def __init__(self) -> None:
        self._jobs = Ordered()
        self._stream: LocalStream | None = None
        self._wants_result = False
        self._templates: dict[int, bytes] = {}
        self._directories = Directories()
        self._storage: TrialStorage | None = None
        self._sync_s = 0.0
        self._keeping: Keeping | None = None
        self._number: int | None = None

    def greet(self, setup: Setup) -> Greeting:
        """Make ready what all trials share; `problem` says why none can run here."""
        problem = misfit(setup["versions"], versions())
        if problem is None:
            surroundings = _here(pickle.loads(setup["surroundings"]), setup)
            if not Path(surroundings.working_directory).is_dir():
                problem = f"no directory {surroundings.working_directory}, in which the search was started"
            else:
                self._open(surroundings, setup)
        said = None if problem is None else f"{socket.gethostname()} ({sys.executable}) has {problem}"
        return {"host": socket.gethostname(), "problem": said, "outlives": end_with(tuple(setup["lifeline"]))}

    def turn(self, orders: Sequence[Order], timeout_s: float) -> list[Answer]:
        """Obey, and say what the trial has told meanwhile: as soon as there is something, or after that time."""
        said: list[Answer] = []
        stream = self._stream
        assert stream is not None
        for order in orders:
            if isinstance(order, Start):
                problem = self._start(order)
                if problem is not None:
                    return [Refused(problem)]
            elif self._number is None:
                continue  # it has ended meanwhile
            elif isinstance(order, Tell):
                stream.stop(self._number, order.why)
            else:
                stream.kill(self._number, order.reason, order.state)

        def hear(event: Event) -> None:
            said.append(self._said(event))

        stream.wait(hear, timeout_s)
        deadline = time.monotonic() + _GATHER_S
        while said and self._number is not None and (left_s := deadline - time.monotonic()) > 0:
            stream.wait(hear, left_s)
        return said

    def finish(self) -> list[Answer]:
        """End what runs, and say how it ended."""
        said: list[Answer] = []
        if self._stream is not None:
            self._stream.close()
            self._stream.wait(lambda event: said.append(self._said(event)), 0.0)
        return said

    def _open(self, surroundings: Surroundings, setup: Setup) -> None:
        data = pickle.dumps(surroundings, protocol=pickle.HIGHEST_PROTOCOL)
        self._wants_result = surroundings.wants_result
        if setup["storage"] is not None:
            self._storage, self._sync_s = TrialStorage(setup["storage"]), setup["storage_sync_s"]
        self._stream = bare_stream(
            self._jobs,
            setup["modules"],
            lambda _: data,
            stop_timeout_s=setup["stop_timeout_s"],
            trials_per_process=setup["trials_per_process"],
        )
        self._stream.renew(wants_results=self._wants_result)

    def _start(self, order: Start) -> str | None:
        """Why the trial cannot run here, if it cannot."""
        if order.data is not None:
            self._templates[order.template] = order.data
        job = replace(order.job, template=self._templates[order.template])
        directory = self._directories.of(job)
        problem = None
        if directory is not None:
            problem = self._unseen(directory) if self._storage is None else self._fetched(self._storage, directory)
        if problem is None:
            assert self._stream is not None
            self._number = job.number
            self._jobs.jobs = {job.number: job}
            if order.told is not None:
                self._stream.stop(job.number, order.told)
            self._stream.submit(TrialSpec(job.number))
        return problem

    def _unseen(self, directory: Path) -> str | None:
        """The scheduler has made the trial's directory: whether it is there."""
        deadline = time.monotonic() + _SEEN_S
        while not directory.is_dir():
            if time.monotonic() > deadline:
                return (
                    f"{socket.gethostname()} does not see {directory}: the experiment's directory must be shared, "
                    "or hydra.launcher.storage name a place for the trials' files"
                )
            time.sleep(0.05)
        return None

    def _fetched(self, storage: TrialStorage, directory: Path) -> str | None:
        """Bring the trial's files here, and keep what it makes of them."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            storage.pull(directory)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            return f"{socket.gethostname()} cannot bring {directory} from the storage: {told}"
        self._keeping = Keeping(storage, directory, self._sync_s)
        return None

    def _kept(self, ended: Ended) -> Ended:
        """The end of a trial, once its files are in the storage."""
        if self._keeping is None or self._stream is None:
            return ended
        keeping, self._keeping = self._keeping, None
        # what it still writes as it leaves
        deadline = time.monotonic() + _SEEN_S
        while self._stream.pids and time.monotonic() < deadline:
            self._stream.wait(lambda _: None, 0.05)
        try:
            keeping.end()
        except Exception as error:
            reason = f"its files cannot be kept in the storage: {type(error).__name__}: {error}"
            return replace(ended, state=State.FAIL_RECOVERABLE, reason=reason)
        return ended

    def _said(self, event: Event) -> Said:
        if not isinstance(event, Ended):
            return Said(event)
        self._number = None
        event = self._kept(event)
        if event.result is None:
            return Said(event)
        result = pickled(event.result) if self._wants_result else None
        return Said(replace(event, result=None), result)


def _here(surroundings: Surroundings, setup: Setup) -> Surroundings:
    """The scheduler's process as it can be here.

    In a Ray that was started for the search the scheduler's environment counts, in a cluster a node's own; what
    the runtime environment brings comes before both.
    """
    mine: dict[str, Any] = dict(os.environ)
    theirs = {name: value for name, value in surroundings.environment.items() if not name.startswith(_OF_RAY)}
    if _THREADS not in theirs:
        mine.pop(_THREADS, None)
    named = {name: mine[name] for name in mine if name.startswith(_OF_RAY) or name in setup["env_vars"]}
    environment = {**theirs, **named} if setup["is_own"] else {**theirs, **mine}
    others = [entry for entry in sys.path if entry not in surroundings.path]
    path = [*others, *surroundings.path] if setup["brings_code"] else [*surroundings.path, *others]
    folder = str(Path.cwd()) if setup["brings_directory"] else surroundings.working_directory
    return replace(surroundings, environment=environment, path=tuple(path), working_directory=folder)
