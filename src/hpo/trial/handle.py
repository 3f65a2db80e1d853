"""The Trial that a task gets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from hpo.errors import TrialError
from hpo.objectives import objectives
from hpo.paths import TrialPaths
from hpo.recording.protocol import Recorder, VisualRecorder
from hpo.records import Report, Stop
from hpo.trial.checkpoints import Checkpoints
from hpo.trial.link import Link
from hpo.trial.metadata import Metadata
from hpo.trial.outcome import numbers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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

    def log(self, record: Mapping[str, float | int]) -> None:
        self._log(numbers(record))

    def report(self, metrics: Mapping[str, float | int], step: int) -> None:
        """Raises TrialError for metrics that are no numbers, and for a step that is none."""
        if isinstance(step, bool) or not isinstance(step, Integral) or step < 0:
            raise TrialError(f"a report's step must be a whole number of at least 0, but is {step!r}")
        step = int(step)
        self.has_reported = True
        values = numbers(metrics)
        progress = {"best_iteration": step} if self._is_best(values) else {}
        self._log(values if "current_iteration" in values else {"current_iteration": step} | values, **progress)
        if progress:
            self.best = values
        self._link.send(Report(self.number, step, values))

    def log_histograms(self, tensors: Mapping[str, NDArray[np.floating[Any]]], step: int) -> None:
        for recorder in self.recorders:
            if isinstance(recorder, VisualRecorder):
                recorder.histograms(tensors, step)

    def log_images(self, tag: str, images: NDArray[np.uint8], step: int) -> None:
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
        self._checkpoints.save(
            state, step, best=best, before_rename=lambda: self._metadata.update(checkpoint_iteration=step)
        )

    def restore(self) -> dict[str, Any] | None:
        return self._checkpoints.restore()

    def _log(self, record: Mapping[str, float], **progress: int) -> None:
        for recorder in self.recorders:
            recorder.log(record)
        if "current_iteration" in record:
            progress["log_iteration"] = int(record["current_iteration"])
        self._metadata.progress(**progress)

    def _is_best(self, metrics: Mapping[str, float]) -> bool:
        first = self.objectives[0]
        if not math.isfinite(metrics.get(first.name, math.nan)):
            return False
        return self.best is None or first.is_better(metrics[first.name], self.best[first.name])
