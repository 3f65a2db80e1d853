"""What a task sees of the trial that it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from omegaconf import DictConfig

from hpo.paths import TrialPaths

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Trial(Protocol):
    """Handed to a task: `number`, `config` (its run configuration) and `dir` (its directory).

    A task is any callable `task(trial) -> metrics`: it may report as it goes, should look at `should_stop()`
    after each report, and returns its final metrics (a mapping of names to numbers, or a number when there
    is one objective). Metrics that it reports never block it.
    """

    number: int
    config: DictConfig
    dir: TrialPaths

    def log(self, record: Mapping[str, float | int]) -> None:
        """Write one object to results.json and every other recorder, and tell nobody else."""

    def report(self, metrics: Mapping[str, float | int], step: int) -> None:
        """Log one evaluation at `step` (counted from 1, rising) and hand it to the scheduler."""

    def should_stop(self) -> bool:
        """Whether the scheduler has decided to end this trial; look after each report."""

    def save(self, state: Mapping[str, Any], step: int, *, best: bool = False) -> None:
        """Keep a checkpoint of tensors and plain values durably, and in best_checkpoints when `best`."""

    def restore(self) -> dict[str, Any] | None:
        """The newest checkpoint that loads, on the CPU, or None when there is none."""


@runtime_checkable
class VisualTrial(Protocol):
    """A trial that also takes what is to be looked at; where no recorder shows such things, nothing is written."""

    def log_histograms(self, tensors: Mapping[str, NDArray[np.floating[Any]]], step: int) -> None:
        """Show the distribution of each tensor's values at `step`, under its name."""

    def log_images(self, tag: str, images: NDArray[np.uint8], step: int) -> None:
        """Show `images`, (N, height, width, channels) with 1 (grey) or 3 (RGB) channels, at `step`."""
