"""The process of one trial, from its first line to its last."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import DictConfig

from hpo.paths import TrialPaths
from hpo.terminal import open_what_is_closed
from hpo.trial.link import current_link
from hpo_launchers import _hydra, execution
from hpo_launchers.jobs import Job
from hpo_launchers.local import _blob, _lifeline, _plain_job
from hpo_launchers.local._channel import ChannelLink, Returned, receive_files
from hpo_launchers.local._place import Place

_FLUSH_TIMEOUT_S = 30.0
DUMP_SIGNAL = signal.SIGUSR2
"""What makes a trial write the stacks of its threads into its log."""


@dataclass(frozen=True)
class Surroundings:
    """What all trials of a launcher share: the scheduler's process as a job expects it, and the task."""

    environment: Mapping[str, str]
    working_directory: str
    path: tuple[str, ...]
    arguments: tuple[str, ...]
    # pickled by cloudpickle: (task function, callbacks, execution whitelist, job name, resolvers)
    job: bytes
    wants_result: bool


@dataclass(frozen=True)
class Order:
    """What one trial is told; its job's template travels in a file of its own, which jobs share."""

    job: Job
    place: Place


def main(fds: list[int]) -> None:
    """The whole of a process that was not forked from a server with everything imported."""
    sys.exit(run(fds))


def run(fds: list[int]) -> int:
    """Load what jobs share, wait for an order, and run its trial; returns the exit code of the process."""
    channel, lifeline, surroundings_fd, template_fd = fds
    _lifeline.hold(lifeline)
    surroundings: Surroundings = pickle.loads(_read_and_close(surroundings_fd))
    template = _read_and_close(template_fd)
    _settle(surroundings)
    loaded = _loaded(surroundings, template)
    connection = socket.socket(fileno=channel)
    files = receive_files(connection)
    if not files:
        return 0
    link = ChannelLink(connection)
    current_link.set(link)
    order: Order = pickle.loads(_read_and_close(files[0]))
    _take(order.place)
    if len(files) > 1:  # another template than the one that was guessed
        loaded = _loaded(surroundings, _read_and_close(files[1]))
    try:
        if isinstance(loaded, BaseException):
            raise loaded
        result = loaded.run(order.job, link)
        ended = execution.ended(order.job.number, result)
    except BaseException as error:  # also what could not be unpickled or composed
        result = execution.failed_return(error, order.job.overrides)
        ended = execution.failure(order.job.number, error)
    _leave()
    wants_result = surroundings.wants_result or not link.has_ended
    link.send_frame(Returned(replace(ended, result=None), _pickled(result) if wants_result else None))
    link.flush(_FLUSH_TIMEOUT_S)
    return 0


class _Loaded:
    """A template and the task, as far as they can be made ready for whatever job comes."""

    def __init__(self, surroundings: Surroundings, template: bytes) -> None:
        self._task_function, callbacks, whitelist, name, resolvers = cloudpickle.loads(surroundings.job)
        _hydra.restore(name, resolvers)
        self._config: DictConfig = pickle.loads(template)
        # no trial composes again, and a loader holds every configuration it has read; Hydra wants one by its type
        self._context = HydraContext(None, callbacks, whitelist)  # type: ignore[arg-type]
        self._is_foreign = not execution.is_run_config(self._config)
        self._plain_job: _plain_job.PlainJob | None = None
        if not (self._is_foreign or surroundings.wants_result) and _plain_job.is_plain(self._config):
            self._plain_job = _plain_job.PlainJob(template, whitelist)

    def run(self, job: Job, link: ChannelLink) -> JobReturn:
        if job.subdir is not None:
            _write_into(Path(self._config.hydra.sweep.dir) / job.subdir)
        if self._plain_job is not None:
            return self._plain_job.run(job, self._task_function)
        job.set_params(self._config)
        job.set_hydra(self._config.hydra)
        if self._is_foreign:
            link.send(execution.started(job.number))
        return execution.run(self._config, self._context, self._task_function, interruptible=False)


def _loaded(surroundings: Surroundings, template: bytes) -> _Loaded | BaseException:
    """What cannot be loaded is told as the error of the trial that wants it."""
    try:
        return _Loaded(surroundings, template)
    except BaseException as error:
        return error


def _read_and_close(fd: int) -> bytes:
    data = _blob.read(fd)
    os.close(fd)
    return data


def _settle(surroundings: Surroundings) -> None:
    os.environ.clear()
    os.environ.update(surroundings.environment)
    os.chdir(surroundings.working_directory)
    sys.path[:] = surroundings.path
    sys.argv[:] = surroundings.arguments
    open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # what a trial printed must be there when it dies; typed as TextIO, they are TextIOWrapper
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # a crash in C leaves the Python lines that led to it
    faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL, all_threads=True)


def _take(place: Place) -> None:
    """Run where the launcher says; what this process starts does as well."""
    os.environ.update(place.environment)
    if place.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, place.cores)


def _write_into(directory: Path) -> None:
    """Let what this process prints, and what it starts prints, go to the trial's log."""
    if directory.is_dir():
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(TrialPaths(directory).log, flags, 0o644)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)


def _leave() -> None:
    """What the interpreter does at its end, but for taking every module apart."""
    with contextlib.suppress(Exception):
        # waits for threads that are no daemons; the interpreter's own, and so without a type
        threading._shutdown()  # type: ignore[attr-defined]
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _pickled(result: JobReturn) -> bytes:
    try:
        return bytes(cloudpickle.dumps(result))
    except Exception as error:
        described = TypeError(f"the job's return value cannot be sent to the scheduler: {error!r}")
        return bytes(cloudpickle.dumps(execution.failed_return(described, result.overrides)))


def unpickled(result: bytes | None) -> Any:
    """The JobReturn that a trial sent, in the scheduler."""
    return None if result is None else cloudpickle.loads(result)
