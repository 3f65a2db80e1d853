"""results.json: a JSON array with one object per record, valid after every append."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from hpo.disk import writing
from hpo.faults import reach
from hpo.files import replace_file
from hpo.paths import TrialPaths
from hpo.records import TrialInfo
from hpo.results_file import num_kept, whole_records, written

_OPEN = "["
_CLOSE = b"\n]"


class ResultsJson:
    """Appends each record by overwriting the closing bracket with one write; continues a file that is there.

    What an attempt continues is first cut to its whole records, up to the iteration that it goes on from.
    Non-finite numbers are written NaN and Infinity, which Python's json and pandas read.
    """

    def __init__(self, info: TrialInfo) -> None:
        path = TrialPaths(Path(info.directory)).results
        self._path = path
        there = path.read_bytes() if path.exists() else None
        kept = _kept((there or b"").decode("utf-8", "replace"), info)
        self._end = len(kept)
        if there != kept + _CLOSE:
            replace_file(path, kept + _CLOSE)
        with writing(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def log(self, record: Mapping[str, float | int]) -> None:
        separator = b"\n" if self._end == len(_OPEN) else b",\n"
        body = separator + written(record).encode()
        data = body + _CLOSE
        reach("results_half_written", lambda: os.pwrite(self._fd, data[: len(data) // 2], self._end))
        with writing(self._path, len(data)):
            try:
                if os.pwrite(self._fd, data, self._end) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                # a full disk cut the record: take it back, so that the array stays readable
                os.ftruncate(self._fd, self._end)
                os.pwrite(self._fd, _CLOSE, self._end)
                raise
        self._end += len(body)

    def close(self, metrics: Mapping[str, float]) -> None:
        os.close(self._fd)


def _kept(text: str, info: TrialInfo) -> bytes:
    """The file up to its last record that stays, without the closing bracket."""
    found = whole_records(text)
    if info.resumed_from is not None:
        records = [record for record, _ in found]
        found = found[: num_kept(records, info.resumed_from, info.num_recorded)]
    return (text[: found[-1][1]] if found else _OPEN).encode()
