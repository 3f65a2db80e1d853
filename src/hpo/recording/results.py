"""results.json: a JSON array with one object per record, valid after every append."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from hpo.paths import TrialPaths
from hpo.records import TrialInfo

_OPEN = b"["
_CLOSE = b"\n]"


class ResultsJson:
    """Appends each record by overwriting the closing bracket with one write; continues a file that is there.

    Non-finite numbers are written NaN and Infinity, which Python's json and pandas read.
    """

    def __init__(self, info: TrialInfo) -> None:
        path = TrialPaths(Path(info.directory)).results
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        # every record ends in the only brace that closes anything; a record that was cut has none
        self._end = data.rfind(b"}") + 1
        if self._end == 0:
            self._end = os.pwrite(self._fd, _OPEN, 0)
        if data[self._end :] != _CLOSE:
            self._close_array()

    def log(self, record: Mapping[str, float | int]) -> None:
        separator = b"\n" if self._end == len(_OPEN) else b",\n"
        # one key a line, as in the document of the output directory; indent=0 does the same, three times as slow
        fields = json.dumps(dict(record), separators=(",\n", ": "))[1:-1]
        body = separator + f"{{\n{fields}\n}}".encode()
        data = body + _CLOSE
        try:
            num_written = os.pwrite(self._fd, data, self._end)
            if num_written < len(data):
                raise OSError(f"only {num_written} of {len(data)} bytes of a record fit into results.json")
        except OSError:
            # a full disk cut the record: take it back, so that the array stays readable
            self._close_array()
            raise
        self._end += len(body)

    def close(self, metrics: Mapping[str, float]) -> None:
        os.close(self._fd)

    def _close_array(self) -> None:
        """End the file after the last whole record."""
        os.ftruncate(self._fd, self._end)
        os.pwrite(self._fd, _CLOSE, self._end)
