"""What a task sees of the trial that it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from omegaconf import DictConfig

from hpo.paths import TrialPaths
from hpo.records import State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Finish:
    """What a task returns instead of its metrics alone when it ended before its time: why, and in which state.

    The state is COMPLETE, PRUNED_POOR_PERFORMANCE or FAIL.
    """

    metrics: Any
    reason: str
    state: State = State.COMPLETE


class Trial(Protocol):
    """Handed to a task: `number`, `config` (its run configuration) and `dir` (its directory).

    A task is any callable `task(trial) -> metrics`: it may report as it goes, should look at `should_stop()`
    after each report, and returns its final metrics (a mapping of names to numbers, or a number when there
    is one objective), or a Finish with them. Metrics that it reports never block it.
    """

    number: int
    config: DictConfig
    dir: TrialPaths

    def log(self, record: Mapping[str, float | int]) -> None:
        """Write one object to results.json and every other recorder, and tell nobody else."""

    def report(self, metrics: Mapping[str, float | int], step: int) -> None:
        """Log one evaluation at `step` (counted from 1, rising) and hand it to the scheduler."""

    def should_stop(self) -> bool:
        """Whether the scheduler has decided to end this trial; look after each report.

        A task that sees it keeps its state and returns: the trial is then pruned, or waits to be continued.
        """

    def will_lose(self) -> bool:
        """Whether the pruner has decided against this trial; cheap enough to look at in every step."""

    def must_leave(self) -> bool:
        """Whether the scheduler is about to end; cheap enough to look at in every step.

        A task that sees it saves its state, unless it has just done so, and returns the metrics so far: the trial
        then waits to be continued. `should_stop()` says so as well.
        """

    def save(self, state: Mapping[str, Any], step: int, *, best: bool = False) -> None:
        """Keep a checkpoint of tensors and plain values durably, and in best_checkpoints when `best`."""

    def restore(self) -> dict[str, Any] | None:
        """The newest checkpoint that loads, on the CPU, or None when there is none.

        A task that logs, reports or saves without having asked begins anew: what earlier attempts left is removed.
        """


@runtime_checkable
class VisualTrial(Protocol):
    """A trial whose recorders show more than numbers."""

    def log_histograms(self, tensors: Mapping[str, NDArray[np.floating[Any]]], step: int) -> None:
        """Show how the values of each tensor are distributed at `step`."""

    def log_images(self, tag: str, images: NDArray[np.uint8], step: int) -> None:
        """Show images, (N, height, width, channels) with 1 or 3 channels."""
