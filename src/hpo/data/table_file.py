"""Reads the numbers and the targets of a table, CSV or NumPy."""

from __future__ import annotations

import csv
import itertools
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from hpo.data.columns import Columns, choose
from hpo.errors import DataError

NPZ_INPUT, NPZ_TARGET = "x", "y"
SUFFIXES = (".csv", ".npy", ".npz")

_ROWS_AT_ONCE = 4096
_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}


@dataclass(frozen=True)
class RawTable:
    """Numbers (N, F) and N targets as they stand in the file; `where` names the place of a row in it."""

    path: Path
    columns: Columns
    numbers: NDArray[np.float32]
    targets: NDArray[Any]
    where: Callable[[int], str]


def read_table(path: Path, target: str, features: Sequence[str] | None) -> RawTable:
    """The chosen columns. Raises DataError, naming file, line and column, for what is no number or missing."""
    if path.suffix not in SUFFIXES:
        raise DataError(f"data_config.path={path} must end with one of {', '.join(SUFFIXES)}")
    with _readable(path):
        table = (_read_csv if path.suffix == ".csv" else _read_numpy)(path, target, features)
    if len(table.targets) == 0:
        raise DataError(f"{path} holds no rows")
    return table


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"there is no {path.absolute()} (data_config.path)") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _read_csv(path: Path, target: str, features: Sequence[str] | None) -> RawTable:
    # a spreadsheet may have put a byte order mark before the first name
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        rows = _rows(path, reader)
        _, header = next(rows, (0, []))
        names = [name.strip() for name in header]
        if not names:
            raise DataError(f"{path} has no header row")
        columns = choose(path, names, target, features)
        numbers: list[NDArray[np.float32]] = []
        targets: list[str] = []
        lines: list[int] = []
        while block := list(itertools.islice(rows, _ROWS_AT_ONCE)):
            numbers.append(_block_of_numbers(path, columns, block))
            targets += [row[columns.target].strip() for _, row in block]
            lines += [line for line, _ in block]
    whole = np.concatenate(numbers) if numbers else np.empty((0, len(columns.features)), np.float32)
    return RawTable(path, columns, whole, np.array(targets), lambda row: f"line {lines[row]}")


def _rows(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, with the line that each ends in."""
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error


def _block_of_numbers(path: Path, columns: Columns, block: list[tuple[int, list[str]]]) -> NDArray[np.float32]:
    for line, row in block:
        if len(row) != len(columns.names):
            raise DataError(
                f"{path}, line {line}: {len(row)} value{'s' * (len(row) != 1)}, "
                f"but the header names {len(columns.names)} columns"
            )
        if row[columns.target].strip().lower() in _MISSING:
            raise DataError(f"{path}, line {line}, column {columns.target_name!r}: the target is missing")
    try:
        numbers = _as_float32(np.array([[row[at] for at in columns.features] for _, row in block], np.float64))
    except ValueError:
        _say_what_is_no_number(path, columns, block)
    if not np.isfinite(numbers).all():
        _say_what_is_no_number(path, columns, block)
    return numbers


def _as_float32(numbers: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def _say_what_is_no_number(path: Path, columns: Columns, block: list[tuple[int, list[str]]]) -> NoReturn:
    for line, row in block:
        for at in columns.features:
            text = row[at].strip()
            where = f"{path}, line {line}, column {columns.names[at]!r}"
            if text.lower() in _MISSING:
                raise DataError(f"{where}: the value is missing ({text!r}); fill it in, or leave the row out")
            try:
                is_finite = bool(np.isfinite(_as_float32(np.array(float(text)))))
            except ValueError:
                raise DataError(
                    f"{where}: {text!r} is not a number; data_config.features chooses the columns to learn from"
                ) from None
            if not is_finite:
                raise DataError(f"{where}: {text!r} is not a finite number of single precision")
    raise AssertionError("every value of the block is a number")


def _read_numpy(path: Path, target: str, features: Sequence[str] | None) -> RawTable:
    if path.suffix == ".npy":
        arrays = _columns_of_one(path, np.lib.format.open_memmap(path, mode="r"))
    else:
        # opened here, since NumPy leaves a broken file open
        with path.open("rb") as file, np.lib.npyio.NpzFile(file) as loaded:
            arrays = _columns_of_two(path, dict(loaded.items()))
    columns = choose(path, list(arrays), target, features)
    numbers = [_numbers_of(path, columns.names[at], arrays[columns.names[at]]) for at in columns.features]
    return RawTable(
        path,
        columns,
        np.stack(numbers, axis=1),
        np.array(arrays[columns.target_name]),
        lambda row: f"row {row}",
    )


def _columns_of_one(path: Path, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Columns by their numbers; a structured array's by their names."""
    if array.dtype.names:
        return {name: array[name] for name in array.dtype.names}
    if array.ndim != 2:
        raise DataError(f"{path} holds an array of shape {array.shape}, but a table has rows and columns")
    return {str(at): array[:, at] for at in range(array.shape[1])}


def _columns_of_two(path: Path, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The columns of `x` by their numbers, and `y`."""
    if not {NPZ_INPUT, NPZ_TARGET} <= set(arrays):
        raise DataError(f"{path} must hold the arrays x and y; it has {', '.join(arrays) or 'none'}")
    x, y = arrays[NPZ_INPUT], arrays[NPZ_TARGET]
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise DataError(
            f"{path}: x must be of shape (N, F) and y of shape (N,), but they are {x.shape} and {y.shape}"
        )
    return {str(at): x[:, at] for at in range(x.shape[1])} | {NPZ_TARGET: y}


def _numbers_of(path: Path, name: str, column: NDArray[Any]) -> NDArray[np.float32]:
    if column.ndim != 1 or column.dtype.kind not in "biuf":
        raise DataError(f"{path}, column {name!r}: {column.dtype} is not numbers (data_config.features chooses)")
    numbers = _as_float32(column)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise DataError(
            f"{path}, row {bad[0]}, column {name!r}: {column[bad[0]]} is not a finite number of single precision"
        )
    return numbers
