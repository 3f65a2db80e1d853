"""Tables of numbers to learn a class or a number from."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpo.data.cache import is_cached, shared_arrays
from hpo.data.chunked import Chunked, converted
from hpo.data.digest import check_digest, digest_of
from hpo.data.hold_out import check_fraction, hold_out
from hpo.data.protocol import Splits
from hpo.data.table_file import NPZ_TARGET, read_table
from hpo.data.table_targets import class_numbers, real_numbers
from hpo.errors import DataError
from hpo.records import DataSource

logger = logging.getLogger("hpo.data")

CLASSIFICATION, REGRESSION = "classification", "regression"

_TRAIN, _VAL, _TEST = "train", "val", "test"
_CLASSES = "classes"
_ROWS_AT_ONCE = 4096
_NUM_SHOWN_CLASSES = 20
_NUM_KEY_DIGITS = 12


class Table:
    """A CSV file with a header row, or an array (.npy; .npz with x and y): `features` and `target` are columns.

    An item is float32 (F,) with int64 () for classification, float32 (1,) for regression. Columns of an array
    are called by their numbers. `standardize` shifts and scales features to the training part's mean 0 and
    standard deviation 1. `val_fraction` is a share of what the test part leaves.
    """

    def __init__(
        self,
        path: str | None,
        target: str | int | None = None,
        features: Sequence[str | int] | None = None,
        task: str = CLASSIFICATION,
        val_fraction: float = 0.2,
        test_fraction: float = 0.0,
        seed: int = 0,
        standardize: bool = True,
    ) -> None:
        if path is None:
            raise DataError("data_config.path is not set: it names the table, a .csv, .npy or .npz file")
        if task not in (CLASSIFICATION, REGRESSION):
            raise DataError(
                f"data_config.task={task!r} is not known; allowed are {CLASSIFICATION} and {REGRESSION}"
            )
        if isinstance(features, str):
            raise DataError(f"data_config.features={features!r} must be a list of columns, such as [{features}]")
        check_fraction("val_fraction", val_fraction)
        if test_fraction:
            check_fraction("test_fraction", test_fraction)
        self._path = Path(path).expanduser()
        if target is None and self._path.suffix != ".npz":
            raise DataError("data_config.target is not set: it names the column that is to be learned")
        self._target = NPZ_TARGET if target is None else str(target)
        self._features = None if features is None else [str(name) for name in features]
        self._is_classification = task == CLASSIFICATION
        self._fractions = (val_fraction, test_fraction)
        self._seed = seed
        self._standardize = standardize

    def source(self) -> DataSource:
        """Reads the table through once, so that what is wrong in it shows before the first trial."""
        digest = self._digest()
        if not is_cached(self._key(), digest):
            self._parts()
        return DataSource(self._path.name, digest, has_test=self._fractions[1] > 0)

    def load(self, source: DataSource | None) -> Splits:
        import torch
        from torch.utils.data import TensorDataset

        source = source or self.source()
        arrays = shared_arrays(self._key(), source.digest, lambda: self._checked_parts(source.digest))
        if self._is_classification:
            _log_classes(arrays[_CLASSES])

        def part(name: str) -> TensorDataset:
            return TensorDataset(*(torch.from_numpy(arrays[key]) for key in _keys(name)))

        return Splits(part(_TRAIN), part(_VAL), part(_TEST) if self._fractions[1] else None)

    def _key(self) -> str:
        """The cache's name for this choice of columns and parts."""
        chosen = [self._target, self._features, self._is_classification, self._standardize]
        text = json.dumps([*chosen, *self._fractions, self._seed])
        return f"table-{hashlib.sha256(text.encode()).hexdigest()[:_NUM_KEY_DIGITS]}"

    def _digest(self) -> str:
        if not self._path.is_file():
            raise DataError(f"there is no file {self._path.absolute()} (data_config.path)")
        return digest_of([self._path])

    def _checked_parts(self, digest: str) -> Mapping[str, Chunked]:
        self._digest()
        check_digest([self._path], digest)
        return self._parts()

    def _parts(self) -> dict[str, Chunked]:
        """`<part>_inputs` and `<part>_targets`, and the names of the classes where there are some."""
        table = read_table(self._path, self._target, self._features)
        arrays: dict[str, Chunked] = {}
        targets: NDArray[Any]
        if self._is_classification:
            targets, classes = class_numbers(table)
            arrays[_CLASSES] = converted(classes, classes.dtype, classes.shape)
        else:
            targets = real_numbers(table)
        rows = self._rows(len(targets))
        shift, scale = self._shift_and_scale(table.numbers[rows[_TRAIN]])
        for name, chosen in rows.items():
            inputs_key, targets_key = _keys(name)
            arrays[inputs_key] = _chosen(table.numbers, chosen, shift, scale)
            part = targets[chosen]
            arrays[targets_key] = converted(part, part.dtype, part.shape)
        return arrays

    def _rows(self, num: int) -> dict[str, NDArray[np.int64]]:
        val_fraction, test_fraction = self._fractions
        names = (_TRAIN, _VAL, *([_TEST] if test_fraction else []))
        if num < len(names):
            raise DataError(f"{self._path} holds {num} row{'s' * (num != 1)}, too few for {', '.join(names)}")
        train, test = np.arange(num), np.arange(0)
        if test_fraction:
            train, test = hold_out(num, test_fraction, self._seed)
        kept, held = hold_out(len(train), val_fraction, self._seed)
        return dict(zip(names, (train[kept], train[held], test), strict=False))

    def _shift_and_scale(self, train: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The means and standard deviations of the features; 0 and 1 without standardize."""
        if not self._standardize:
            return np.zeros(train.shape[1]), np.ones(train.shape[1])
        deviation = train.std(axis=0, dtype=np.float64)
        # a column that is constant has no information: let it be 0
        return train.mean(axis=0, dtype=np.float64), np.where(deviation > 0, deviation, 1.0)


def _keys(part: str) -> tuple[str, str]:
    return f"{part}_inputs", f"{part}_targets"


def _chosen(
    numbers: NDArray[np.float32],
    rows: NDArray[np.int64],
    shift: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> Chunked:
    def chunks() -> Iterator[NDArray[np.float32]]:
        for begin in range(0, len(rows), _ROWS_AT_ONCE):
            yield ((numbers[rows[begin : begin + _ROWS_AT_ONCE]] - shift) / scale).astype(np.float32)

    return Chunked((len(rows), numbers.shape[1]), np.dtype(np.float32), chunks())


def _log_classes(classes: NDArray[Any]) -> None:
    names = [f"{number} {name}" for number, name in enumerate(classes)]
    more = f" and {len(names) - _NUM_SHOWN_CLASSES} more" if len(names) > _NUM_SHOWN_CLASSES else ""
    logger.info("classes: %s%s", ", ".join(names[:_NUM_SHOWN_CLASSES]), more)
