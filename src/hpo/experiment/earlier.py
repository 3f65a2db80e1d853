"""The experiment on disk that `resume=true` continues, and whether it can be continued."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from hpo.errors import ExperimentError
from hpo.experiment.identity import HASHED, config_hash, label_of, without_operational
from hpo.experiment.lock import holder_of
from hpo.keys import leaves
from hpo.paths import EXPERIMENT_PREFIX, ExperimentPaths
from hpo.records import DataSource
from hpo.resolved import plain, without_hydra
from hpo.shell import module_command
from hpo.stored import problem_of_study, reading
from hpo.stores import KEYS, shown

# what is of one launch, or filled in by it
_OF_A_LAUNCH = ("resume", "dry_run", "experiment_dir", "experiment_id", "config_hash", "run_task", "verbose")
_LAUNCHER = "hydra/launcher"
_OF_A_LAUNCHER = "hydra.launcher."
_CONFIGURED = "as configured"
_OF_THE_DATA = ("data_source", "data_digest")


@dataclass(frozen=True)
class Earlier:
    """An experiment that is there, with its default_config.yaml; empty of one that died before it had any."""

    paths: ExperimentPaths
    config: Mapping[str, Any]

    @property
    def started_at(self) -> str:
        """When it was started, in UTC, as text that sorts; empty where neither database can tell."""
        for path, column, table in (
            (self.paths.state_db, "started_at", "experiments"),
            (self.paths.study_db, "min(datetime_start)", "trials"),
        ):
            with suppress(sqlite3.Error), closing(reading(path)) as connection:
                row = connection.execute(f"SELECT {column} FROM {table}").fetchone()
                if row is not None and row[0] is not None:
                    return str(row[0])
        return ""

    @property
    def launcher(self) -> dict[str, str]:
        """The launcher and its options as its command line has named them, the last time that it ran."""
        with suppress(sqlite3.Error, ValueError), closing(reading(self.paths.state_db)) as connection:
            row = connection.execute("SELECT arguments FROM experiments").fetchone()
            return named_launcher(json.loads(row[0]) if row is not None and row[0] else ())
        return {}

    def changes_of_launcher(self, arguments: Iterable[str]) -> dict[str, tuple[str, str]]:
        """What `arguments` name otherwise: key -> (as it was, as it is).

        Options are those of one launcher: of another one those are told that are named now.
        """
        before, now = self.launcher, named_launcher(arguments)
        changed = {
            key: (before.get(key, _CONFIGURED), now.get(key, _CONFIGURED))
            for key in {**before, **now}
            if before.get(key) != now.get(key)
        }
        is_another = _LAUNCHER in before and _LAUNCHER in now and _LAUNCHER in changed
        if not is_another:
            return changed
        named = {key: (_CONFIGURED, value) for key, value in now.items() if key != _LAUNCHER}
        return {_LAUNCHER: changed[_LAUNCHER], **named}

    def changes(self, config: DictConfig) -> dict[str, tuple[Any, Any]]:
        """What `config` has otherwise: dotted key -> (as it was, as it is)."""
        if not self.config:
            return {}
        before, now = dict(leaves(self.config)), dict(leaves(plain(without_hydra(config))))
        skipped = (*_OF_A_LAUNCH, *_OF_THE_DATA)
        keys = [key for key in {**before, **now} if key.partition(".")[0] not in skipped]
        # a group that is none is a leaf, and none when another option takes its place
        return {key: (before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)}


def named_launcher(arguments: Iterable[str]) -> dict[str, str]:
    """The launcher and its options by their keys, where they are named; the configuration has the others."""
    pairs = (text.lstrip("+").partition("=") for text in arguments)
    return {key: value for key, _, value in pairs if key == _LAUNCHER or key.startswith(_OF_A_LAUNCHER)}


def find_earlier(config: DictConfig) -> Earlier | None:
    """The experiment named by `experiment_id`, or the newest of this configuration's hash; None without one.

    Raises ExperimentError for a directory that holds no experiment.
    """
    experiment_dir = Path(config.experiment_dir).absolute()
    if config.experiment_id is not None:
        paths = ExperimentPaths(experiment_dir, config.experiment_id)
        if not paths.root.exists():
            return None
        return Earlier(paths, {}) if _is_unborn(paths) else open_earlier(paths)
    found = list(_of_hash(experiment_dir, config_hash(config), is_search=bool(config.search_space)))
    return max(found, key=lambda earlier: (earlier.started_at, earlier.paths.experiment_id), default=None)


def find_unborn(config: DictConfig) -> list[Path]:
    """The directories of this configuration whose scheduler died before it could write anything of it."""
    label = label_of(config_hash(config))
    found = map(ExperimentPaths.of, Path(config.experiment_dir).absolute().glob(f"{EXPERIMENT_PREFIX}{label}_*"))
    return [paths.root for paths in found if _is_unborn(paths) and holder_of(paths.lock) is None]


def open_earlier(paths: ExperimentPaths) -> Earlier:
    """Raises ExperimentError when the directory has no configuration of an experiment that could be read."""
    try:
        config = yaml.load(paths.config.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError as error:
        raise ExperimentError(f"{paths.root} cannot be continued: it has no {paths.config.name}") from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        first_line = str(error).splitlines()[0]
        raise ExperimentError(f"{paths.root} cannot be continued: {paths.config.name}: {first_line}") from error
    if not isinstance(config, dict) or "config_hash" not in config:
        raise ExperimentError(f"{paths.root} cannot be continued: {paths.config.name} is not whole")
    return Earlier(paths, config)


def check_no_search(earlier: Earlier) -> None:
    """Raise ExperimentError when a single run would continue a search."""
    if earlier.config.get("search_space"):
        raise ExperimentError(f"{earlier.paths.root} cannot be continued alone: it is a search, add --multirun")


def check_study(earlier: Earlier) -> None:
    """Raise ExperimentError when its study is damaged, or does not know the trials that there are."""
    problem = problem_of_study(earlier.paths)
    if problem is not None:
        raise ExperimentError(f"{earlier.paths.root} cannot be continued: {problem}")


def check_places(earlier: Earlier, config: DictConfig) -> None:
    """Raise ExperimentError where its databases are not where they would be looked for."""
    values = plain(without_hydra(config))
    for key in KEYS if earlier.config else ():
        before, now = earlier.config.get(key), values[key]
        if before != now:
            root, wanted = earlier.paths.root, f"{key}={'null' if now is None else shown(now)}"
            there = "a file in its directory" if before is None else shown(before)
            raise ExperimentError(
                f"{root} cannot be continued with {wanted}: its database is {there}. Leave {key} as it was, or "
                f"move it first: {module_command('hpo.migrate', str(root), wanted)}"
            )


def check_same_training(earlier: Earlier, config: DictConfig, source: DataSource | None) -> None:
    """Raise ExperimentError, with the differences, when its trials trained something else than these would."""
    if not earlier.config:
        return
    before = dict(leaves(without_operational({key: earlier.config.get(key) for key in HASHED})))
    values = plain(without_hydra(config))
    now = dict(leaves(without_operational({key: values.get(key) for key in HASHED})))
    lines = [
        f"  {spelled_change(key, before.get(key), now.get(key))}"
        for key in {**before, **now}
        if before.get(key, _NONE) != now.get(key, _NONE)
    ]
    digest = earlier.config.get("data_digest")
    if source is not None and digest is not None and source.digest != digest:
        lines.append(f"  the data itself: SHA-256 {digest[:12]}... -> {source.digest[:12]}...")
    if lines:
        raise ExperimentError(
            f"{earlier.paths.root} cannot be continued: what its trials train may not change.\n"
            + "\n".join(lines)
            + "\nLeave that as it was, or start a new experiment without resume=true"
        )


def spelled_change(key: str, before: Any, now: Any) -> str:
    return f"{key}: {before} -> {now}"


_NONE = object()
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _is_unborn(paths: ExperimentPaths) -> bool:
    """Whether its scheduler died before it could write the configuration, and so anything else."""
    return all(path == paths.lock or path in paths.temporary for path in paths.root.iterdir())


def _of_hash(experiment_dir: Path, digest: str, *, is_search: bool) -> Iterator[Earlier]:
    """The experiments of that hash; a single run continues no search, and a search no single run."""
    for root in experiment_dir.glob(f"{EXPERIMENT_PREFIX}*"):
        paths = ExperimentPaths.of(root)
        try:
            # thousands of experiments may lie here: the line tells before the YAML is read
            if f"\nconfig_hash: {digest}\n" not in paths.config.read_text(encoding="utf-8"):
                continue
        except (OSError, UnicodeDecodeError):
            continue
        earlier = open_earlier(paths)
        if bool(earlier.config.get("search_space")) == is_search:
            yield earlier
