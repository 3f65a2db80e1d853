"""An experiment's state database as the pages ask it: read-only, with little patience, and never for long."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hpo.errors import ExperimentError
from hpo.paths import ExperimentPaths
from hpo.stored import is_of_a_server, is_there, reading

# a page that waits longer is worse than one that says why it has nothing
_BUSY_TIMEOUT_S = 1.0
_QUERY_LIMIT_S = 20.0
_STEPS_BETWEEN_LOOKS = 100_000


class UnreadableError(ExperimentError):
    """The state database cannot be read; `is_passing` where a later try may find it readable."""

    def __init__(self, told: str, *, is_passing: bool = False) -> None:
        super().__init__(told)
        self.is_passing = is_passing


@dataclass(frozen=True)
class Database:
    """A connection to the state database of one experiment; each query gets its experiment_id first."""

    connection: sqlite3.Connection
    experiment_id: str

    def rows(self, sql: str, *binds: Any) -> list[sqlite3.Row]:
        return self.connection.execute(sql, (self.experiment_id, *binds)).fetchall()

    @cached_property
    def is_alone(self) -> bool:
        """Whether the database holds no other experiment, so that an index without its id will do."""
        return bool(self.connection.execute("SELECT COUNT(*) = 1 FROM experiments").fetchone()[0])

    def row(self, sql: str, *binds: Any) -> sqlite3.Row | None:
        found = self.rows(sql, *binds)
        return found[0] if found else None

    def of_numbers(self, columns: str, numbers: Sequence[int]) -> list[sqlite3.Row]:
        """Columns of the trials of those numbers, in that order; a number that is none is left out."""
        marks = ",".join("?" * len(numbers))
        sql = f"SELECT {columns} FROM trials WHERE experiment_id = ? AND number IN ({marks})"
        found = {row["number"]: row for row in self.rows(sql, *numbers)}
        return [found[number] for number in numbers if number in found]


@contextmanager
def opened(paths: ExperimentPaths) -> Iterator[Database]:
    """The state database for one page. Raises UnreadableError that says what is wrong with it."""
    path = paths.state_db
    if not is_there(path):
        raise UnreadableError(f"its state database {path.name} is not there")
    try:
        with closing(reading(path, _BUSY_TIMEOUT_S)) as connection:
            deadline = time.monotonic() + _QUERY_LIMIT_S
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
            connection.row_factory = sqlite3.Row
            yield Database(connection, paths.experiment_id)
    except sqlite3.Error as error:
        raise _told(path, error) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # JSON that is cut, a state that is none, a list where a mapping was
        raise UnreadableError(f"its state database {path.name} holds what hpo does not write: {error}") from error


def _told(path: Path, error: sqlite3.Error) -> UnreadableError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return UnreadableError(f"another process holds its state database {path.name} locked", is_passing=True)
    if code == sqlite3.SQLITE_INTERRUPT:
        return UnreadableError(f"a query of {path.name} took longer than {_QUERY_LIMIT_S:g} s", is_passing=True)
    if is_of_a_server(path):
        return UnreadableError(f"its state database cannot be read: {error}", is_passing=True)
    return UnreadableError(f"its state database {path.name} cannot be read: {error}")
