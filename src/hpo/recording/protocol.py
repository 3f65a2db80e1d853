"""What a recorder is, and the one that records nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Recorder(Protocol):
    """A sink for what a trial logs; built as `_target_(info: TrialInfo, **options)`."""

    def log(self, record: Mapping[str, float | int]) -> None:
        """Write one record; what was written must survive the death of the process."""

    def close(self, metrics: Mapping[str, float]) -> None:
        """End the record with the trial's final metrics (empty when it has none)."""


class NullRecorder:
    """Records nothing."""

    def log(self, record: Mapping[str, float | int]) -> None:
        pass

    def close(self, metrics: Mapping[str, float]) -> None:
        pass
