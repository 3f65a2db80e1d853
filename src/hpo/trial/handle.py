"""The Trial that a task gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from hpo.errors import TrialError
from hpo.faults import reach
from hpo.files import sync_file
from hpo.objectives import objectives
from hpo.paths import TrialPaths
from hpo.recording.protocol import Recorder, VisualRecorder
from hpo.records import Report, Stop
from hpo.results_file import STEP, step_of
from hpo.trial.checkpoints import Checkpoints
from hpo.trial.link import Link
from hpo.trial.metadata import Metadata
from hpo.trial.outcome import as_logged, as_reported, evaluations, numbers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


NUM_LOGGED = "num_logged_at_checkpoint"
"""metadata.json: how many records there were at each checkpoint, by its iteration."""


class TrialHandle:
    """Writes what the task logs and saves below `dir`, and sends its reports through `link`."""

    def __init__(self, config: DictConfig, paths: TrialPaths, metadata: Metadata, link: Link) -> None:
        self.number = int(metadata["number"])
        self.config = config
        self.dir = paths
        self.recorders: Sequence[Recorder] = ()
        self.best: Mapping[str, float] | None = None
        self.has_reported = False
        self.obeyed: Stop | None = None
        self.objectives = objectives(config)
        self._metadata = metadata
        self._link = link
        self._checkpoints = Checkpoints(paths, config.keep_n_checkpoints)
        self._num_logged = 0
        self._left: dict[str, Any] | None = None
        self._begin_anew: Callable[[], None] | None = None

    def take_up(self, records: Sequence[Mapping[str, float]]) -> int:
        """Begin with the records of earlier attempts, and with nothing else; the best iteration among them."""
        self._num_logged = len(records)
        reports = evaluations(self.number, records, self.objectives)
        self.has_reported = any(self.objectives[0].name in report.metrics for report in reports)
        self.best, best_iteration = None, 0
        for index, record in enumerate(records, start=1):
            if self._is_best(record):
                self.best, best_iteration = as_reported(record), step_of(record, index)
        return best_iteration

    def leave(self, state: dict[str, Any], begin_anew: Callable[[], None]) -> None:
        """Keep what an earlier attempt saved for the task; `begin_anew` is called when it does not ask for it."""
        self._left, self._begin_anew = state, begin_anew

    def log(self, record: Mapping[str, float | int]) -> None:
        self._settle()
        self._log(numbers(record))

    def report(self, metrics: Mapping[str, float | int], step: int) -> None:
        """Raises TrialError for metrics that are no numbers, and for a step that is none."""
        if isinstance(step, bool) or not isinstance(step, Integral) or step < 0:
            raise TrialError(f"a report's step must be a whole number of at least 0, but is {step!r}")
        self._settle()
        step = int(step)
        reach("before_report")
        self.has_reported = True
        values = numbers(metrics)
        progress = {"best_iteration": step} if self._is_best(values) else {}
        self._log(as_logged(values, step), **progress)
        if progress:
            # as a further attempt finds it in results.json
            self.best = as_reported(values)
        reach("report_written")
        self._link.send(Report(self.number, step, values))

    def log_histograms(self, tensors: Mapping[str, NDArray[np.floating[Any]]], step: int) -> None:
        self._settle()
        for recorder in self.recorders:
            if isinstance(recorder, VisualRecorder):
                recorder.histograms(tensors, step)

    def log_images(self, tag: str, images: NDArray[np.uint8], step: int) -> None:
        self._settle()
        for recorder in self.recorders:
            if isinstance(recorder, VisualRecorder):
                recorder.images(tag, images, step)

    def should_stop(self) -> bool:
        self.obeyed = self._link.stop_requested()
        return self.obeyed is not None

    def will_lose(self) -> bool:
        if self._link.stop_requested() is not Stop.PRUNE:
            return False
        self.obeyed = Stop.PRUNE
        return True

    def must_leave(self) -> bool:
        if self._link.stop_requested() is not Stop.LEAVE:
            return False
        self.obeyed = Stop.LEAVE
        return True

    def save(self, state: Mapping[str, Any], step: int, *, best: bool = False) -> None:
        self._settle()
        self._checkpoints.save(state, step, best=best, before_rename=lambda: self._make_durable(step))

    def restore(self) -> dict[str, Any] | None:
        left, self._left = self._left, None
        return left if left is not None else self._checkpoints.restore()

    def _settle(self) -> None:
        """What an earlier attempt left is void when the task begins to write without having asked for it."""
        if self._left is not None and self._begin_anew is not None:
            self._left = None
            self._begin_anew()

    def _make_durable(self, step: int) -> None:
        """A checkpoint must not outlive, in a crash of the machine, the records that led to it."""
        sync_file(self.dir.results)
        there = self._checkpoints.iterations()
        num_logged = {name: num for name, num in self._metadata.get(NUM_LOGGED, {}).items() if int(name) in there}
        self._metadata.update_durably(
            checkpoint_iteration=step, **{NUM_LOGGED: num_logged | {str(step): self._num_logged}}
        )

    def _log(self, record: Mapping[str, float], **progress: int) -> None:
        for recorder in self.recorders:
            recorder.log(record)
        self._num_logged += 1
        if STEP in record:
            progress["log_iteration"] = int(record[STEP])
        self._metadata.progress(**progress)

    def _is_best(self, metrics: Mapping[str, float]) -> bool:
        first = self.objectives[0]
        if not math.isfinite(metrics.get(first.name, math.nan)):
            return False
        return self.best is None or first.is_better(metrics[first.name], self.best[first.name])


def num_saved(metadata: Metadata, iteration: int) -> int:
    """How many records there were at a checkpoint; one an iteration, where that is not known."""
    return int(metadata.get(NUM_LOGGED, {}).get(str(iteration), iteration))
