"""What mp.log and the terminal get of an experiment: its lines, and where it is wanted a live table."""

from __future__ import annotations

import time
from typing import Any

from omegaconf import DictConfig

from hpo import terminal
from hpo.config import Verbose
from hpo.experiment.progress import Progress
from hpo.experiment.scheduler_log import TRIALS, SchedulerLog
from hpo.objectives import Objective
from hpo.paths import ExperimentPaths
from hpo.progress.board import Board
from hpo.progress.live import LiveView
from hpo.records import Ended, Event, ReplicateEnded, Resumed, Started


def wants_table(config: DictConfig) -> bool:
    """Whether the terminal shows a table: it is wanted, and the terminal can."""
    return config.verbose in (Verbose.auto, Verbose.progress) and terminal.is_live()


class Shown:
    """Opens mp.log; the table is there from `begin` to `close`."""

    def __init__(
        self, config: DictConfig, paths: ExperimentPaths, objectives: tuple[Objective, ...], progress: Progress
    ) -> None:
        self._progress = progress
        self._board: Board | None = None
        self._view: LiveView | None = None
        self._began = time.monotonic()
        if wants_table(config):
            names = [objective.name for objective in objectives]
            limits: dict[str, Any] = {"timeout_s": config.timeout_s, "num_replicates": config.num_replicates}
            self._board = Board(paths, names, progress.standing, progress.trial_id, **limits)
            self._view = LiveView(self._board.snapshot)
        self.log = SchedulerLog(
            paths.log, silent=config.verbose == Verbose.silent, has_table=lambda: self.has_table, warn=self._warn
        )

    def begin(self, total_trials: int | None) -> None:
        """Show the table; `total_trials` is how many trials there will be, None where nobody knows."""
        self.expect(total_trials)
        if self._view is not None:
            self._view.start()

    def expect(self, total_trials: int | None) -> None:
        if self._board is not None:
            self._board.total = total_trials

    def event(self, event: Event) -> None:
        """A line for what is worth one, and the table."""
        if self._board is not None and not TRIALS.disabled:
            self._board.hear(event)
        if isinstance(event, Started):
            TRIALS.info(self._progress.started(event))
        elif isinstance(event, Resumed):
            TRIALS.info(self._progress.resumed(event))
        elif isinstance(event, ReplicateEnded):
            TRIALS.info(self._progress.replicate_ended(event))
        elif isinstance(event, Ended):
            TRIALS.log(*self._progress.ended(event))

    @property
    def has_table(self) -> bool:
        """Whether the table is on the terminal at this moment."""
        return self._view is not None and self._view.is_open

    @property
    def seconds(self) -> float:
        """How long it has been shown."""
        return time.monotonic() - self._began

    def close(self) -> None:
        self.log.close()
        if self._view is not None:
            self._view.close()

    def _warn(self, text: str) -> None:
        if self._board is not None:
            self._board.warn(text)
