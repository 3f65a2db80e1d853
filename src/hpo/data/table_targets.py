"""The targets of a table as a loss expects them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpo.data.table_file import RawTable
from hpo.errors import DataError


def class_numbers(table: RawTable) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """(N,) numbers of the classes in sorted order, and their names. Raises DataError for what is no class."""
    classes, numbers = np.unique(_class_values(table), return_inverse=True)
    if len(classes) == 1:
        raise DataError(
            f"{table.path}, column {table.columns.target_name!r}: all {len(table.targets)} rows are of one class, "
            f"{str(classes[0])!r}; there is nothing to learn"
        )
    return numbers.astype(np.int64), classes.astype(np.str_)


def real_numbers(table: RawTable) -> NDArray[np.float32]:
    """(N, 1), as from a model with one output. Raises DataError for what is no number."""
    try:
        numbers = table.targets.astype(np.float64)
    except ValueError:
        row = next(row for row, value in enumerate(table.targets) if not _is_number(value))
        raise _bad(table, row, "is not a number; for names of classes data_config.task=classification") from None
    with np.errstate(over="ignore"):
        targets = numbers.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(targets))
    if len(bad):
        raise _bad(table, int(bad[0]), "is not a finite number of single precision")
    return targets[:, None]


def _class_values(table: RawTable) -> NDArray[Any]:
    """Whole numbers where all are, which sort as numbers; else names."""
    kind = table.targets.dtype.kind
    if kind in "biu":
        return table.targets
    if kind not in "fUS":
        raise DataError(
            f"{table.path}, column {table.columns.target_name!r}: {table.targets.dtype} is neither whole numbers "
            "nor names"
        )
    try:
        numbers = table.targets.astype(np.float64)
    except ValueError:
        return table.targets
    bad = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.floor(numbers)))
    if len(bad):
        raise _bad(table, int(bad[0]), "is not a class; for numbers as targets data_config.task=regression")
    return numbers.astype(np.int64)


def _bad(table: RawTable, row: int, complaint: str) -> DataError:
    value = table.targets[row].item()
    return DataError(
        f"{table.path}, {table.where(row)}, column {table.columns.target_name!r}: {value!r} {complaint}"
    )


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
