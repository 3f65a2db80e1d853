"""mp.log: what the scheduler did. The terminal shows the same events, one plain line each, or a table of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hpo.log_file import LogFile
from hpo.terminal import TerminalHandler

LOGGER = logging.getLogger("hpo.scheduler")
TRIALS = LOGGER.getChild("trials")
"""For the events of trials, which a table shows as well; but for warnings, the terminal shows one of both."""

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class SchedulerLog:
    """Sends what the scheduler and Optuna log to mp.log, the former to the terminal as well unless `silent`.

    `has_table` says whether a table shows the trials' events at this moment, and `warn` is told every warning.
    """

    def __init__(
        self,
        path: Path,
        *,
        silent: bool,
        has_table: Callable[[], bool] = lambda: False,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._file = LogFile(path)
        self._file.setFormatter(logging.Formatter(_FORMAT))
        self._terminal = TerminalHandler()
        self._terminal.setLevel(logging.WARNING if silent else logging.INFO)
        self._terminal.addFilter(lambda record: not (_is_of_a_trial(record) and has_table()))
        self._warnings = _Warnings(warn)
        LOGGER.setLevel(logging.DEBUG)
        LOGGER.propagate = False
        LOGGER.addHandler(self._file)
        LOGGER.addHandler(self._terminal)
        LOGGER.addHandler(self._warnings)
        self._optuna = logging.getLogger("optuna")
        self._optuna.addHandler(self._file)

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Nothing that the scheduler says in the block is kept or shown."""
        LOGGER.disabled = TRIALS.disabled = True
        try:
            yield
        finally:
            LOGGER.disabled = TRIALS.disabled = False

    def close(self) -> None:
        for handler in (self._file, self._terminal, self._warnings):
            LOGGER.removeHandler(handler)
        self._optuna.removeHandler(self._file)
        LOGGER.propagate = True
        self._file.close()


class _Warnings(logging.Handler):
    """Passes the text of each warning on."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._warn = warn

    def emit(self, record: logging.LogRecord) -> None:
        self._warn(record.getMessage())


def _is_of_a_trial(record: logging.LogRecord) -> bool:
    return record.name == TRIALS.name and record.levelno < logging.WARNING
