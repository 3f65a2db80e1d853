"""Engines for the databases of experiments, in files or on servers, and what must be true of a URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from omegaconf import DictConfig, OmegaConf

from hpo.errors import ConfigError
from hpo.experiment import sqlite
from hpo.stores import KEYS, PASSWORD_VARIABLE, Place, is_variable, shown, with_password

STATE_SCHEMA = "hpo"
_POSTGRESQL = "postgresql"
_LIBPQ = (_POSTGRESQL, f"{_POSTGRESQL}+psycopg", f"{_POSTGRESQL}+psycopg2")
# a machine that is gone says nothing, and TCP alone believes in it for a quarter of an hour
_IN_TIME = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# of the lock that whoever makes the tables holds, for all experiments alike
_MAKING_TABLES = 7_012_448
_EXAMPLE = "postgresql+psycopg://user@host/database"
# in what a server says that wants others
_OF_CREDENTIALS = ("password", "authentication", "access denied")
_FROM_WHERE = f"Credentials come from the environment: PGPASSWORD, ~/.pgpass, or {PASSWORD_VARIABLE}"


def url_of(where: Place) -> str:
    """For SQLAlchemy, with the password of the environment: not to be shown."""
    if isinstance(where, Path):
        return sqlite.url(where)
    return str(with_password(where).render_as_string(hide_password=False))


def engine_options(where: Place) -> dict[str, Any]:
    """Keyword arguments of `create_engine`."""
    if isinstance(where, Path):
        return sqlite.engine_options(where)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if sa.make_url(where).drivername in _LIBPQ:
        options["connect_args"] = dict(_IN_TIME)
    return options


def engine_of(where: Place, **options: Any) -> sa.Engine:
    """Raises ModuleNotFoundError without the driver, SQLAlchemyError for what is no URL."""
    return sa.create_engine(url_of(where), **engine_options(where), **options)


def state_engine(where: Place, **options: Any) -> sa.Engine:
    """As `engine_of`; on PostgreSQL the tables have a schema of their own, since Optuna has a `trials` too."""
    engine = engine_of(where, **options)
    if engine.dialect.name != _POSTGRESQL:
        return engine
    return engine.execution_options(schema_translate_map={None: STATE_SCHEMA})


@contextmanager
def making_tables(engine: sa.Engine) -> Iterator[None]:
    """While tables are made: of several experiments that start at once, one makes them, and the others wait."""
    if engine.dialect.name != _POSTGRESQL:
        yield
        return
    with engine.connect() as connection:
        key = {"key": _MAKING_TABLES}
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), key)
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), key)


def check_stores(config: DictConfig) -> None:
    """Raise ConfigError for a URL that is none, has a password, or at which no database answers."""
    written: Any = OmegaConf.to_container(OmegaConf.masked_copy(config, list(KEYS)), resolve=False)
    for key in KEYS:
        url = config[key]
        if url is not None:
            check_url(key, url, is_from_environment=is_variable(str(written[key])))
    if config.state_db is not None and config.state_db == config.study_db and not _is_postgresql(config.state_db):
        raise ConfigError(
            f"state_db and study_db are both {_without(sa.make_url(config.state_db))}, and each has a table "
            "trials: give them databases of their own"
        )


def check_url(key: str, url: str, *, is_from_environment: bool = False) -> None:
    """Raise ConfigError, which never repeats a password.

    `is_from_environment`: the URL's text names a variable, and no file has what that holds.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise ConfigError(f"{key}={shown(url)} is no URL of a database, such as {_EXAMPLE}") from error
    if not is_from_environment and (parsed.password is not None or any(map(_is_secret, parsed.query))):
        raise ConfigError(
            f"{key} holds a password, which would be written into files. Leave it out: {key}={_without(parsed)}. "
            f"{_FROM_WHERE}"
        )
    told = f"{key}={_without(parsed)}"
    try:
        engine = engine_of(url)
    except ModuleNotFoundError as error:
        extra = (
            "pip install 'hpo[postgresql]'" if parsed.get_backend_name() == _POSTGRESQL else "install its driver"
        )
        raise ConfigError(f"{told} needs {error.name}, which is not installed: {extra}") from error
    except sa.exc.NoSuchModuleError as error:
        raise ConfigError(
            f"{told}: SQLAlchemy knows no database {parsed.drivername!r}; a URL is such as {_EXAMPLE}"
        ) from error
    except sa.exc.SQLAlchemyError as error:
        raise ConfigError(f"{told}: {first_line(error)}") from error
    try:
        with engine.connect():
            pass
    except sa.exc.SQLAlchemyError as error:
        said = first_line(error)
        raise ConfigError(f"{told} cannot be opened: {said}{advice(said)}") from error
    finally:
        engine.dispose()


def advice(said: str) -> str:
    """Where credentials come from, to be added to what a driver has said, where that is of them."""
    return f". {_FROM_WHERE}" if any(word in said.lower() for word in _OF_CREDENTIALS) else ""


def lost_store(config: DictConfig, error: Exception) -> str | None:
    """What is told when a server does not answer any more; None where all databases are files."""
    urls = dict.fromkeys(str(config[key]) for key in KEYS if config[key] is not None)
    if not urls:
        return None
    told = " or ".join(_without(sa.make_url(url)) for url in urls)
    return f"the database at {told} does not answer: {first_line(error)}"


def first_line(error: Exception) -> str:
    """What a driver says, without the statement that SQLAlchemy adds, and without a password."""
    lines = [line.strip() for line in str(getattr(error, "orig", None) or error).splitlines() if line.strip()]
    return str(shown(lines[0].rstrip("."))) if lines else type(error).__name__


def _is_secret(name: str) -> bool:
    """Whether a part of a URL behind its question mark is one: password, sslpassword, but not passfile."""
    return any(word in name.lower() for word in ("password", "passwd", "pwd", "secret", "token"))


def _is_postgresql(url: str) -> bool:
    return sa.make_url(url).get_backend_name() == _POSTGRESQL


def _without(url: sa.URL) -> str:
    query = {name: value for name, value in url.query.items() if not _is_secret(name)}
    return str(sa.URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query))
