"""A database server that is away for a while, as when it is restarted: who wants a connection waits for it."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from hpo import interrupts
from hpo.experiment.databases import first_line
from hpo.experiment.scheduler_log import LOGGER
from hpo.stores import Place, shown

_PAUSE_S = 0.5
# the servers that were waited for in vain, and have not answered since: what is still to be closed does not wait
_given_up: set[str] = set()


def reconnect(engine: sa.Engine, where: Place, timeout_s: float) -> None:
    """Let each connection of `engine` be tried for `timeout_s` seconds, before it is an error.

    A transaction begins with a connection that has answered, so that a server that goes away between two of them
    costs time and nothing else. One that goes away during a transaction is an error as ever: whether that was
    committed nobody knows. A signal to end ends the waiting.
    """
    if not isinstance(where, str):
        return

    @sa.event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        since = time.monotonic()
        is_told = False
        while True:
            try:
                connection = dialect.connect(*arguments, **options)
            except dialect.loaded_dbapi.OperationalError as error:
                is_over = time.monotonic() - since >= timeout_s or interrupts.requested() is not None
                if is_over or where in _given_up:
                    _given_up.add(where)
                    raise
                if not is_told:
                    is_told = True
                    LOGGER.warning(
                        "WARNING: the database at %s does not answer: %s; it is waited for, "
                        "%g s at most (db_timeout_s)",
                        *(shown(where), first_line(error), timeout_s),
                    )
                time.sleep(min(_PAUSE_S, timeout_s))
            else:
                _given_up.discard(where)
                if is_told:
                    LOGGER.info("the database answers again, after %.0f s", time.monotonic() - since)
                return connection
