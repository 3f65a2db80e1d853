"""`python -m hpo.resume DIR [overrides]`: goes on with the experiment in a directory, from that alone."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.errors import ExperimentError, HpoError
from hpo.overrides import encode_value
from hpo.paths import EXPERIMENT_PREFIX, ExperimentPaths
from hpo.stored import reading
from hpo.stores import KEYS, is_variable, written_urls

_USAGE = "usage: python -m hpo.resume DIR [overrides], DIR being <experiment_dir>/experiment_<experiment_id>"
# of groups that a command need not name
_DEFAULTS = {"hydra/launcher": "local"}
_OPTION = re.compile(r"[\w./-]+")
_OF_THE_DIRECTORY = ("experiment_dir", "experiment_id", "resume")


@dataclass(frozen=True)
class Resumed:
    """The command that goes on with an experiment, where it is to be given, and what it lacks of the old one."""

    arguments: Sequence[str]
    folder: Path
    left_out: Sequence[str]


def resumed_arguments(directory: Path, overrides: Sequence[str]) -> Resumed:
    """The command's arguments that go on with the experiment.

    A new override takes the place of an old one of the same key. Another option of a config group, such as another
    launcher, takes the place of all that was set in the old one. Raises ExperimentError for a directory that holds
    no experiment, or does not say how it was started.
    """
    root = directory.absolute()
    paths = ExperimentPaths.of(root)
    if not root.name.startswith(EXPERIMENT_PREFIX) or not paths.config.is_file():
        raise ExperimentError(f"{directory} is no experiment: it has no {paths.config.name}.\n{_USAGE}")
    for override in overrides:
        if _key(override) in _OF_THE_DIRECTORY:
            raise ExperimentError(
                f"{override}: {_key(override)} is given by the directory, which goes on where it is.\n{_USAGE}"
            )
    launch = _launch(paths)
    replaced = {_key(override) for override in overrides} | {*_OF_THE_DIRECTORY, *KEYS, "dry_run"}
    kept = [
        argument for argument in launch["arguments"] if argument.startswith("-") or _key(argument) not in replaced
    ]
    given_up = {text for override in overrides for text in _given_up(override, launch["arguments"])}
    left_out = [argument for argument in kept if argument in given_up]
    kept = [argument for argument in kept if argument not in given_up]
    here = [f"experiment_dir={encode_value(str(paths.experiment_dir))}", f"experiment_id={paths.experiment_id}"]
    # it may have moved since
    moved = [f"{key}={_written(url)}" for key, url in written_urls(paths.config).items()]
    return Resumed([*kept, *moved, *overrides, *here, "resume=true"], Path(launch["working_directory"]), left_out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits as the command does."""
    from hpo import app

    directory, *overrides = (sys.argv[1:] if arguments is None else arguments) or [""]
    if directory in ("", "-h", "--help"):
        print(_USAGE)
        sys.exit(0 if directory else app.BAD_INPUT)
    try:
        resumed = resumed_arguments(Path(directory), overrides)
    except HpoError as error:
        print(f"hpo: {error}", file=sys.stderr)
        sys.exit(app.BAD_INPUT)
    if resumed.left_out:
        print(f"left out, as set for what another option replaces: {' '.join(resumed.left_out)}")
    if resumed.folder.is_dir():
        os.chdir(resumed.folder)
    app.main(resumed.arguments)


def _given_up(override: str, old: Sequence[str]) -> list[str]:
    """What was set in the option of a config group that `override` replaces by another one."""
    key, _, option = override.lstrip("+~").partition("=")
    before = [argument for argument in old if _key(argument) == key]
    is_group = "/" in key or (bool(before) and "." not in key and _OPTION.fullmatch(option) is not None)
    old_option = before[-1].partition("=")[2] if before else _DEFAULTS.get(key)
    if not is_group or old_option == option:
        return []
    below = key.replace("/", ".") + "."
    return [argument for argument in old if _key(argument).startswith(below)]


def _launch(paths: ExperimentPaths) -> dict[str, Any]:
    """How the experiment was started, by the state database, or else by the metadata of a trial."""
    try:
        with closing(reading(paths.state_db)) as connection:
            row = connection.execute("SELECT arguments, working_directory FROM experiments").fetchone()
        if row is not None:
            return {"arguments": json.loads(row[0]), "working_directory": row[1]}
    except sqlite3.Error:
        pass
    for path in sorted(paths.root.glob(f"*/{paths.trial('').metadata.name}")):
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if "arguments" in found:
            return found
    raise ExperimentError(
        f"{paths.root} does not say how it was started: neither {paths.state_db.name} nor a trial's metadata.json "
        f"can be read. Give the command as it was, with resume=true experiment_id={paths.experiment_id}"
    )


def _written(url: str | None) -> str:
    return url if url is not None and is_variable(url) else encode_value(url)


def _key(override: str) -> str:
    return re.split(r"[=@]", override.lstrip("+~"), maxsplit=1)[0]


if __name__ == "__main__":
    main()
