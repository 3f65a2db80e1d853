"""One of the processes of a trial that has several, from its first line to its last."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
from pathlib import Path

from hydra._internal.execution_policy import execution_whitelist
from omegaconf import DictConfig

from hpo.paths import TrialPaths
from hpo.resolvers import take_resolvers
from hpo.trial import outcome
from hpo.trial.attempt import call_task, run_attempt
from hpo.trial.channel import ChannelLink
from hpo.trial.lifeline import hold
from hpo.trial.meeting import Failed, Hello, Tag, connected, receive_order
from hpo.trial.metadata import Metadata
from hpo.trial.shared import SharedTrial, has_joined, is_rank

_FLUSH_TIMEOUT_S = 30.0


def main(address: str) -> int:
    """Become a rank of the trial whose own process listens at `address`, and run it to its end."""
    rank = int(os.environ["RANK"])
    lifeline = connected(address, Tag.LIFELINE)
    order = receive_order(lifeline)
    hold(lifeline.fileno())
    link = ChannelLink(connected(address, Tag.EVENTS))
    link.send_frame(Hello(rank, os.getpid()))
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    sys.path[:], sys.argv[:] = order.path, order.arguments
    take_resolvers(pickle.loads(order.resolvers))
    is_rank.set(True)
    paths = TrialPaths(Path(order.directory))
    try:
        with execution_whitelist(order.whitelist, reset=True):
            if rank == 0:
                _lead(order.config, paths, link)
            else:
                _follow(order.config, paths)
    except BaseException as error:
        if rank != 0:
            number = int(Metadata.of(paths)["number"])
            ended = outcome.failed(number, error, paths, order.config.recoverable_errors)
            link.send_frame(Failed(rank, ended))
        link.flush(_FLUSH_TIMEOUT_S)
        raise
    link.flush(_FLUSH_TIMEOUT_S)
    # a trial that ended before its task began has not joined the others, who wait for it: the launch ends them
    return 0 if has_joined() else 1


def _lead(config: DictConfig, paths: TrialPaths, link: ChannelLink) -> None:
    run_attempt(config, paths, link)


def _follow(config: DictConfig, paths: TrialPaths) -> None:
    call_task(config, SharedTrial(int(Metadata.of(paths)["number"]), config, paths))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
