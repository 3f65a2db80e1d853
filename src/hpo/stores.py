"""Where the two databases of an experiment are: SQLite files in its directory, or what a URL names.

A URL holds no password, unless that is taken from the environment as it is read.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpo.paths import STUDY_SUFFIX, ExperimentPaths
from hpo.resolved import without_passwords

STATE_DB, STUDY_DB = "state_db", "study_db"
KEYS = (STATE_DB, STUDY_DB)
PASSWORD_VARIABLE = "HPO_DB_PASSWORD"
SECRET_VARIABLES = (PASSWORD_VARIABLE, "PGPASSWORD")
"""Variables that no file may hold."""

_VARIABLE = re.compile(r"\$\{oc\.env:([A-Za-z_]\w*)\}")

Place = Path | str
"""A file of SQLite, or the URL of a database that several experiments may share."""


def place(values: Mapping[str, Any], key: str, file: Path) -> Place:
    """Where the database of `key` is by an experiment's configuration; `file` is where it is without a URL."""
    url = values.get(key)
    return file if url is None else str(url)


def place_of(file: Path) -> Place:
    """Where a database is by the default_config.yaml beside its file: the file itself, or the URL of a server.

    Raises sqlite3.OperationalError where a variable is not set that the URL takes.
    """
    paths = ExperimentPaths.of(file.parent)
    url = written_urls(paths.config).get(key_of(file))
    if url is None:
        return file
    try:
        return resolved(url)
    except OmegaConfBaseException as error:
        raise sqlite3.OperationalError(f"{key_of(file)}={url}: {str(error).splitlines()[0]}") from error


def written_urls(config: Path) -> Mapping[str, str | None]:
    """What an experiment's default_config.yaml says of its databases, as it is written there."""
    try:
        found = config.stat()
    except OSError:
        return {}
    return _urls(config, found.st_mtime_ns, found.st_size)


def key_of(file: Path) -> str:
    return STUDY_DB if file.name.endswith(STUDY_SUFFIX) else STATE_DB


def shown(where: Place) -> str:
    """A place as a message may have it."""
    return str(without_passwords(str(where)))


def is_variable(text: str) -> bool:
    """Whether a URL is the value of one variable as a whole, so that no file has any of it."""
    return _VARIABLE.fullmatch(text) is not None


def variables(texts: Iterable[str]) -> list[str]:
    """The variables of the environment whose values the URLs are."""
    return [found[1] for text in texts if (found := _VARIABLE.fullmatch(text)) is not None]


def resolved(text: str) -> str:
    """A URL as it is written, with the value of its variable. Raises OmegaConfBaseException without that."""
    value: str = OmegaConf.create({"url": text})["url"]
    return value


def with_password(url: str) -> Any:
    """The URL for SQLAlchemy; without a password of its own it has that of HPO_DB_PASSWORD, if there is one."""
    import sqlalchemy as sa

    parsed = sa.make_url(url)
    password = os.environ.get(PASSWORD_VARIABLE)
    if parsed.password is None and parsed.username is not None and password:
        parsed = parsed.set(password=password)
    return parsed


@lru_cache(maxsize=256)
def _urls(config: Path, _mtime_ns: int, _size: int) -> dict[str, str | None]:
    """What default_config.yaml says, line by line: to read all of it takes a hundred times as long."""
    import yaml

    try:
        lines = config.read_text(encoding="utf-8").splitlines()
        named = "\n".join(line for line in lines if line.startswith(tuple(f"{key}:" for key in KEYS)))
        return dict(yaml.safe_load(named) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, TypeError):
        return {}
