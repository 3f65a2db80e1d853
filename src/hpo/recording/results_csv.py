"""results.csv: a table with one row per record, whole after every append."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hpo.files import replace_file
from hpo.paths import TrialPaths
from hpo.records import TrialInfo
from hpo.results_file import num_kept


class ResultsCsv:
    """Appends each record with one write; continues a file that is there, up to the iteration it goes on from.

    The first record names the columns. A later key becomes one more, empty in the rows before; what a record
    lacks is empty too. Non-finite numbers are written NaN and Infinity, as in results.json.
    """

    def __init__(self, info: TrialInfo) -> None:
        self._path = TrialPaths(Path(info.directory)).results_csv
        self._columns = self._continued(info)
        self._fd = self._open()

    def log(self, record: Mapping[str, float | int]) -> None:
        new = [key for key in record if key not in self._columns]
        row = [*self._columns, *new]
        cells = [json.dumps(record[key]) if key in record else "" for key in row]
        if new:
            self._rewrite(row, cells)
        else:
            self._append(_lines([cells]))

    def close(self, metrics: Mapping[str, float]) -> None:
        os.close(self._fd)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def _continued(self, info: TrialInfo) -> list[str]:
        """The columns of the file that is there; a row that was cut is taken off it, and what must go."""
        data = self._path.read_bytes() if self._path.exists() else b""
        kept = data[: data.rfind(b"\n") + 1]
        if info.resumed_from is not None:
            kept = _until(kept, info.resumed_from, info.num_recorded)
        if kept != data:
            replace_file(self._path, kept)
        return next(iter(_rows(kept)), [])

    def _append(self, data: bytes) -> None:
        end = os.fstat(self._fd).st_size
        try:
            num_written = os.write(self._fd, data)
            if num_written < len(data):
                raise OSError(f"only {num_written} of {len(data)} bytes of a record fit into {self._path.name}")
        except OSError:
            # a full disk cut the row: take it back, so that the table stays readable
            os.ftruncate(self._fd, end)
            raise

    def _rewrite(self, columns: list[str], cells: list[str]) -> None:
        """Replace the file by one that has `columns`, and the new row, in one rename."""
        rows = _rows(self._path.read_bytes())[1:]
        padded = [row + [""] * (len(columns) - len(row)) for row in rows]
        replace_file(self._path, _lines([columns, *padded, cells]))
        os.close(self._fd)
        self._fd = self._open()
        self._columns = columns


def _until(data: bytes, step: int, num_recorded: int) -> bytes:
    """The rows that stay, with the columns that one of them fills; see `num_kept`."""
    columns, *rows = _rows(data) or [[]]
    records = [{name: json.loads(cell) for name, cell in zip(columns, row, strict=False) if cell} for row in rows]
    kept = num_kept(records, step, num_recorded)
    if kept == len(rows):
        return data
    filled = [name for name in columns if any(name in record for record in records[:kept])]
    cells = [[row[columns.index(name)] for name in filled] for row in rows[:kept]]
    return _lines([filled, *cells]) if kept else b""


def _rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
