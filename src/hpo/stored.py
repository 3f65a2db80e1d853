"""Reads databases without SQLAlchemy, and what a column of them holds."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpo.paths import ExperimentPaths
from hpo.stores import place_of

SAMPLERS = "samplers"
"""The study's user attribute that names, in their order, what proposed its trials."""


def reading(path: Path, timeout_s: float = 5.0) -> sqlite3.Connection:
    """A connection that cannot write, and so never makes a writer wait."""
    path = readable(path)
    # nobody has it open: nothing but the file is read, and no file is left beside it
    alone = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{alone}", uri=True, timeout=timeout_s)


def readable(path: Path) -> Path:
    """The file in which a database of an experiment can be read: that of a server is copied into one.

    Raises sqlite3.OperationalError where a server does not answer, and there is no copy.
    """
    where = place_of(path)
    if isinstance(where, Path):
        return where
    from hpo.experiment.mirror import mirror_of

    return mirror_of(path, where)


def staleness(path: Path) -> str | None:
    """What is to be said of the copy of a server's database that could not be renewed just now."""
    if not is_of_a_server(path):
        return None
    from hpo.experiment.mirror import stale

    copy = readable(path)
    if copy not in stale:
        return None
    as_of = datetime.fromtimestamp(copy.stat().st_mtime).astimezone()
    return f"what is shown was there at {as_of:%Y-%m-%d %H:%M:%S}: {stale[copy]}"


def is_of_a_server(path: Path) -> bool:
    """Whether a database is at a URL, also where a variable is missing that the URL takes."""
    try:
        return not isinstance(place_of(path), Path)
    except sqlite3.OperationalError:
        return True


def is_there(path: Path) -> bool:
    """Whether there is a database to be read; one of a server is."""
    return is_of_a_server(path) or path.is_file()


def _damage_of(path: Path) -> str | None:
    """What is wrong with a database; None when it is whole, is not there, or cannot be looked at just now."""
    if not is_there(path):
        return None
    try:
        with closing(reading(path)) as connection:
            return damage_in(connection)
    except sqlite3.OperationalError:
        return None


def damage_in(connection: sqlite3.Connection) -> str | None:
    """What is wrong with the database of a connection. Raises OperationalError when that cannot be told."""
    try:
        found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == "ok" else found


def problem_of_study(paths: ExperimentPaths) -> str | None:
    """Why an experiment's study cannot be continued, if so: damaged, or gone where there have been trials."""
    name = f"its study, {paths.study_db.name},"
    damage = _damage_of(paths.study_db)
    if damage is not None:
        return f"{name} cannot be read: {damage}"
    if _has_trials(paths.study_db) or not any(paths.root.glob(f"*/{paths.trial('').metadata.name}")):
        return None
    is_what = "holds no trial" if is_there(paths.study_db) else "is gone"
    return f"{name} {is_what}, and there are directories of trials"


def _has_trials(study_db: Path) -> bool:
    if not is_there(study_db):
        return False
    try:
        with closing(reading(study_db)) as connection:
            return connection.execute("SELECT 1 FROM trials").fetchone() is not None
    except sqlite3.OperationalError as error:
        # where it cannot be looked at just now, opening it will tell
        return "no such table" not in str(error)


def json_of(text: str | None) -> dict[str, Any]:
    """A mapping that is kept as JSON; an empty one where there is none."""
    return dict(json.loads(text)) if text is not None else {}


def metrics_of(text: str | None) -> dict[str, float]:
    """Metrics as they were: JSON has no number that is not finite, and holds its name."""
    return {name: float(value) if isinstance(value, str) else value for name, value in json_of(text).items()}


def time_of(text: str | None) -> datetime | None:
    """A time, which is in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text is not None else None
