"""train.log: everything that is logged while a trial runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from hpo.log_file import LogFile
from hpo.paths import TrialPaths

_LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


@contextmanager
def train_log(paths: TrialPaths) -> Iterator[None]:
    """Everything that is logged in this process goes to train.log."""
    handler = LogFile(paths.log)
    handler.setFormatter(logging.Formatter(_LOG_FORMAT))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()
