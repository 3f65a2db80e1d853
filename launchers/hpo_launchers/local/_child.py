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
from dataclasses import dataclass, replace

from hpo.trial.channel import ChannelLink
from hpo.trial.lifeline import hold
from hpo.trial.link import current_link
from hpo_launchers import execution
from hpo_launchers.jobs import Job
from hpo_launchers.local import _blob
from hpo_launchers.local._channel import Returned, receive_files
from hpo_launchers.local._place import Place
from hpo_launchers.worker.loaded import load, pickled
from hpo_launchers.worker.surroundings import Surroundings, settle

_FLUSH_TIMEOUT_S = 30.0
DUMP_SIGNAL = signal.SIGUSR2
"""What makes a trial write the stacks of its threads into its log."""


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
    hold(lifeline)
    surroundings: Surroundings = pickle.loads(_read_and_close(surroundings_fd))
    template = _read_and_close(template_fd)
    settle(surroundings)
    # a crash in C leaves the Python lines that led to it
    faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL, all_threads=True)
    loaded = load(surroundings, template)
    connection = socket.socket(fileno=channel)
    files = receive_files(connection)
    if not files:
        return 0
    link = ChannelLink(connection)
    current_link.set(link)
    order: Order = pickle.loads(_read_and_close(files[0]))
    _take(order.place)
    if len(files) > 1:  # another template than the one that was guessed
        loaded = load(surroundings, _read_and_close(files[1]))
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
    link.send_frame(Returned(replace(ended, result=None), pickled(result) if wants_result else None))
    link.flush(_FLUSH_TIMEOUT_S)
    return 0


def _read_and_close(fd: int) -> bytes:
    data = _blob.read(fd)
    os.close(fd)
    return data


def _take(place: Place) -> None:
    """Run where the launcher says; what this process starts does as well."""
    os.environ.update(place.environment)
    if place.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, place.cores)


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
