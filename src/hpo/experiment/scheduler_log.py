"""mp.log: what the scheduler did. The terminal shows the same events, one plain line each."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpo.log_file import LogFile
from hpo.terminal import TerminalHandler

LOGGER = logging.getLogger("hpo.scheduler")
_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class SchedulerLog:
    """Sends what the scheduler and Optuna log to mp.log, the former to the terminal as well unless `silent`."""

    def __init__(self, path: Path, *, silent: bool) -> None:
        self._file = LogFile(path)
        self._file.setFormatter(logging.Formatter(_FORMAT))
        self._terminal = TerminalHandler()
        self._terminal.setLevel(logging.WARNING if silent else logging.INFO)
        LOGGER.setLevel(logging.DEBUG)
        LOGGER.propagate = False
        LOGGER.addHandler(self._file)
        LOGGER.addHandler(self._terminal)
        self._optuna = logging.getLogger("optuna")
        self._optuna.addHandler(self._file)

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Nothing that the scheduler says in the block is kept or shown."""
        LOGGER.disabled = True
        try:
            yield
        finally:
            LOGGER.disabled = False

    def close(self) -> None:
        for handler in (self._file, self._terminal):
            LOGGER.removeHandler(handler)
        self._optuna.removeHandler(self._file)
        LOGGER.propagate = True
        self._file.close()
