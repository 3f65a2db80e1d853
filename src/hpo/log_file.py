"""A log file whose disk may take no more."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path

from hpo.disk import writing


class LogFile(logging.FileHandler):
    """Raises DiskError where logging would show a traceback and go on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing(path):
            super().__init__(path, encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if isinstance(error, OSError):
            with writing(self._path):
                raise error
        super().handleError(record)

    def close(self) -> None:
        # what it could not write has been told
        with suppress(OSError):
            super().close()
