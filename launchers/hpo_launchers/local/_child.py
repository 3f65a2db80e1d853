"""The process of one trial, from its first line to its last."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import socket
import sys
import warnings
from dataclasses import dataclass, replace

from hpo.records import State
from hpo.trial.channel import ChannelLink
from hpo.trial.lifeline import hold
from hpo.trial.link import current_link
from hpo_launchers import execution
from hpo_launchers.jobs import Job
from hpo_launchers.local import _blob
from hpo_launchers.local._channel import Returned, receive_files
from hpo_launchers.local._place import Place
from hpo_launchers.worker.leaving import comes_to_rest, leave
from hpo_launchers.worker.loaded import Loaded, load, pickled
from hpo_launchers.worker.surroundings import Surroundings, settle

_FLUSH_TIMEOUT_S = 30.0
DUMP_SIGNAL = signal.SIGUSR2
"""What makes a trial write the stacks of its threads into its log."""


@dataclass(frozen=True)
class Order:
    """What one trial is told; its job's template travels in a file of its own, which jobs share."""

    job: Job
    place: Place
    # whether the process may run another trial after it
    may_stay: bool = False


def main(fds: list[int]) -> None:
    """The whole of a process that was not forked from a server with everything imported."""
    sys.exit(run(fds))


def run(fds: list[int]) -> int:
    """Load what jobs share, wait for an order, and run its trial, and others after it if it may.

    Returns the exit code of the process.
    """
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
    has_run = False
    while files := receive_files(connection):
        order: Order = pickle.loads(_read_and_close(files[0]))
        _take(order.place)
        if len(files) > 1:  # another template than the one that was guessed
            template = _read_and_close(files[1])
            loaded = load(surroundings, template)
        if not _run(order, loaded, connection, wants_result=surroundings.wants_result):
            return 0
        has_run = True
        settle(surroundings)
        # again, since a job leaves its values in what it runs with
        loaded = load(surroundings, template)
    if has_run:
        leave()
    return 0


def _run(order: Order, loaded: Loaded | BaseException, connection: socket.socket, *, wants_result: bool) -> bool:
    """Run a trial and tell its end; whether this process is ready for another one."""
    link = ChannelLink(connection)
    current_link.set(link)
    try:
        if isinstance(loaded, BaseException):
            raise loaded
        # what one trial does to warnings, another one does not find
        with warnings.catch_warnings():
            result = loaded.run(order.job, link)
        ended = execution.ended(order.job.number, result)
    except BaseException as error:  # also what could not be unpickled or composed
        result = execution.failed_return(error, order.job.overrides)
        ended = execution.failure(order.job.number, error)
    last = pickled(result) if wants_result or not link.has_ended else None
    ended = replace(ended, result=None)
    del result
    # not after a failure: nobody knows what state that has left things in
    stays = order.may_stay and ended.state is not State.FAIL and comes_to_rest()
    if not stays:
        leave()
    link.send_frame(Returned(ended, last, stays))
    link.flush(_FLUSH_TIMEOUT_S)
    link.close()
    return stays


def _read_and_close(fd: int) -> bytes:
    data = _blob.read(fd)
    os.close(fd)
    return data


def _take(place: Place) -> None:
    """Run where the launcher says; what this process starts does as well."""
    os.environ.update(place.environment)
    if place.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, place.cores)
