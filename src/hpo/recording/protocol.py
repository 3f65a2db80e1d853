"""What a recorder is, and the one that records nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Recorder(Protocol):
    """A sink for what a trial logs; built as `_target_(info: TrialInfo, **options)`."""

    def log(self, record: Mapping[str, float | int]) -> None:
        """Write one record; what was written must survive the death of the process."""

    def close(self, metrics: Mapping[str, float]) -> None:
        """End the record with the trial's final metrics (empty when it has none)."""


@runtime_checkable
class VisualRecorder(Protocol):
    """A recorder that also shows distributions and pictures; the others are not asked to."""

    def histograms(self, tensors: Mapping[str, NDArray[np.floating[Any]]], step: int) -> None:
        """Write the distribution of each tensor's finite values, under its name."""

    def images(self, tag: str, images: NDArray[np.uint8], step: int) -> None:
        """Write `images`, (N, height, width, channels) with 1 or 3 channels."""


class NullRecorder:
    """Records nothing."""

    def log(self, record: Mapping[str, float | int]) -> None:
        pass

    def close(self, metrics: Mapping[str, float]) -> None:
        pass
