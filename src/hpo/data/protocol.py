"""What `data_config` instantiates to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hpo.records import DataSource

if TYPE_CHECKING:
    from torch.utils.data import Dataset


@dataclass(frozen=True)
class Splits:
    """The datasets of a trial; an item is a tuple, a mapping or a tensor. `val` and `test` may be missing."""

    train: Dataset[Any]
    val: Dataset[Any] | None = None
    test: Dataset[Any] | None = None


class DataModule(Protocol):
    """Finds its source once, in the scheduler and without torch; loads it in each trial."""

    def source(self) -> DataSource:
        """Find the data and its digest. Raises DataError where there is none."""

    def load(self, source: DataSource | None) -> Splits:
        """Load the splits from the source that was found, of which name and digest are known.

        A module with several sources goes by the name; one that keeps decoded data for other trials by the
        digest. None: find it first.
        """
