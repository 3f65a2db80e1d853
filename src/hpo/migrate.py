"""`python -m hpo.migrate DIR state_db=URL study_db=URL`: moves an experiment's databases, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from omegaconf.errors import OmegaConfBaseException

from hpo.errors import ConfigError, ExperimentError, HpoError
from hpo.paths import ExperimentPaths
from hpo.shell import resume_command
from hpo.stores import KEYS, STATE_DB, STUDY_DB, Place, is_variable, place_of, resolved, shown, written_urls
from hpo.terminal import flush, show

_USAGE = (
    "usage: python -m hpo.migrate DIR [state_db=URL|null] [study_db=URL|null], DIR being "
    "<experiment_dir>/experiment_<experiment_id>\n"
    "URL is SQLAlchemy's, such as postgresql+psycopg://user@host/database, without a password; null is a file of "
    "SQLite in DIR"
)


@dataclass(frozen=True)
class _Move:
    key: str
    source: Place
    target: Place
    url: str | None


def migrate(directory: Path, wanted: dict[str, str | None]) -> list[str]:
    """Move the databases of an experiment that nobody is at work on; what was done, in words.

    Everything is copied in one transaction and read again before default_config.yaml names the new place; what it
    was keeps a numbered name. A file that is left keeps its data under another name, a server's rows are removed.

    Raises HpoError where there is no such experiment, one of its databases is there already, or a copy differs.
    """
    from hpo.experiment.directory import write_config
    from hpo.experiment.lock import SchedulerLock

    paths = ExperimentPaths.of(directory.absolute())
    if paths.root != directory.absolute() or not paths.config.is_file():
        raise ExperimentError(f"{directory} is no experiment: it has no {paths.config.name}")
    moves = _moves(paths, wanted)
    lock = SchedulerLock(paths.lock)
    try:
        said: list[str] = []
        try:
            for move in moves:
                said.append(_copied(paths, move))
            if moves:
                write_config(paths, _with_urls(paths.config, moves), is_changed=True)
        except BaseException:
            for move in moves[: len(said)]:
                _undo(paths, move)
            raise
        return [line for move, line in zip(moves, said, strict=True) for line in (line, *_left(paths, move))]
    finally:
        lock.release()


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits with status 2 where it cannot be done; everything is then as it was."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(_USAGE)
        sys.exit(0 if given else 2)
    try:
        directory, wanted = Path(given[0]), dict(map(_parsed, given[1:]))
        said = migrate(directory, wanted)
    except HpoError as error:
        print(f"hpo: {error}", file=sys.stderr)
        sys.exit(2)
    show("\n".join(said) if said else "Nothing is to be moved: its databases are there already.")
    show(f"continue it: {resume_command(directory)}")
    flush()


def _parsed(text: str) -> tuple[str, str | None]:
    key, sign, value = text.partition("=")
    if key not in KEYS or not sign or not value:
        raise ConfigError(f"{shown(text)} is none of {', '.join(f'{each}=...' for each in KEYS)}.\n{_USAGE}")
    return key, None if value == "null" else value


def _moves(paths: ExperimentPaths, wanted: dict[str, str | None]) -> list[_Move]:
    """What is elsewhere than it is to be. Raises ConfigError for a URL that cannot be."""
    from hpo.experiment.databases import check_url

    files = {STATE_DB: paths.state_db, STUDY_DB: paths.study_db}
    found = []
    for key, url in wanted.items():
        source = place_of(files[key])
        try:
            target: Place = files[key] if url is None else resolved(url)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{key}={shown(url or '')}: {str(error).splitlines()[0]}") from error
        if target != source:
            if url is not None:
                check_url(key, str(target), is_from_environment=is_variable(url))
            found.append(_Move(key, source, target, url))
    return found


def _copied(paths: ExperimentPaths, move: _Move) -> str:
    """Raises ExperimentError where the target has something of that name, or the copy is not what was copied."""
    from hpo.experiment import copying, databases

    name = paths.experiment_id
    is_state = move.key == STATE_DB
    if isinstance(move.source, Path) and not move.source.is_file():
        raise ExperimentError(f"{move.source} is not there: there is nothing to move")
    if isinstance(move.target, Path) and move.target.exists():
        raise ExperimentError(
            f"{move.target} is there already: nothing is overwritten; give it another name first"
        )
    copy: Callable[[sa.Connection, sa.Connection, str], None]
    read: Callable[[sa.Connection, str], Any]
    if is_state:
        copy, read = copying.copy_state, copying.state_as_data
    else:
        copy, read = copying.copy_study, copying.study_as_data
    with ExitStack() as stack, ExitStack() as undo:
        if isinstance(move.target, Path):
            undo.callback(_remove, move.target)
        engine_of = databases.state_engine if is_state else databases.engine_of
        source, target = engine_of(move.source), engine_of(move.target)
        stack.callback(source.dispose)
        stack.callback(target.dispose)
        try:
            if is_state:
                copying.make_state_tables(target)
            else:
                copying.make_study_tables(move.target)
            with source.connect() as reading, target.begin() as writing:
                if any(read(writing, name).values()):
                    raise ExperimentError(
                        f"{shown(move.target)} has {name} already: nothing is overwritten; remove it there first"
                    )
                copy(reading, writing, name)
                before, after = read(reading, name), read(writing, name)
                if before != after:
                    raise ExperimentError(f"the copy in {shown(move.target)} is not what {shown(move.source)} has")
        except sa.exc.SQLAlchemyError as error:
            told = str(getattr(error, "orig", None) or error).partition("\n")[0]
            raise ExperimentError(
                f"{move.key} cannot be moved from {shown(move.source)} to {shown(move.target)}: "
                f"{shown(told)}{databases.advice(told)}"
            ) from error
        undo.pop_all()
    counts = ", ".join(f"{len(rows)} {table}" for table, rows in before.items() if rows)
    return f"{move.key}: {shown(move.source)} -> {shown(move.target)} ({counts or 'nothing'})"


def _with_urls(config: Path, moves: Sequence[_Move]) -> str:
    """default_config.yaml with the new places, and otherwise as it is."""
    import yaml

    lines = config.read_text(encoding="utf-8").splitlines()
    urls: dict[str, Any] = {**written_urls(config), **{move.key: move.url for move in moves}}
    kept = [line for line in lines if not line.startswith(tuple(f"{key}:" for key in KEYS))]
    return "\n".join(kept) + "\n" + yaml.safe_dump(urls, sort_keys=True)


def _undo(paths: ExperimentPaths, move: _Move) -> None:
    """Take away what was copied, where nothing was before."""
    if isinstance(move.target, Path):
        _remove(move.target)
    else:
        _delete(paths, move.key, move.target)


def _remove(file: Path) -> None:
    for suffix in ("-wal", "-shm", "-journal", ""):
        file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)


def _delete(paths: ExperimentPaths, key: str, where: Place) -> None:
    from hpo.experiment import copying, databases

    engine = databases.state_engine(where) if key == STATE_DB else databases.engine_of(where)
    delete = copying.delete_state if key == STATE_DB else copying.delete_study
    try:
        with engine.begin() as connection:
            delete(connection, paths.experiment_id)
    finally:
        engine.dispose()


def _left(paths: ExperimentPaths, move: _Move) -> list[str]:
    """Make way where the database was: a file keeps what it has under another name."""
    from hpo.experiment import sqlite

    if isinstance(move.source, Path):
        aside = sqlite.set_aside(move.source, "moved")
        return [f"  what {move.source.name} had is kept as {aside.name}"]
    try:
        _delete(paths, move.key, move.source)
    except sa.exc.SQLAlchemyError as error:
        told = str(getattr(error, "orig", None) or error).partition("\n")[0]
        return [f"  its rows are still in {shown(move.source)}: {shown(told)}"]
    return [f"  its rows are removed from {shown(move.source)}"]


if __name__ == "__main__":
    main()
