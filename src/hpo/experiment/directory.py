"""Makes the experiment's directory, and leaves nothing behind when that fails."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from sqlalchemy.exc import OperationalError

from hpo.disk import disk_error
from hpo.errors import DiskError, ExperimentError
from hpo.experiment.copying import is_taken
from hpo.experiment.identity import draw_experiment_id, forget_drawn_ids
from hpo.experiment.retrain import paused
from hpo.paths import ExperimentPaths, TrialPaths
from hpo.records import DataSource, State, TrialSpec
from hpo.stored import is_there, reading
from hpo.stores import KEYS, shown
from hpo.trial.metadata import Metadata, replace_text, timestamp

_MIB = 2**20
_MIN_FREE_MIB = 16


@contextmanager
def new_directory(config: DictConfig) -> Iterator[ExperimentPaths]:
    """A new, empty experiment directory; removed again when the block that fills it fails.

    Raises ExperimentError when it cannot be written, or when a given experiment_id is taken.
    """
    paths = _make(config)
    try:
        yield paths
    except BaseException as error:
        shutil.rmtree(paths.root, ignore_errors=True)
        if isinstance(error, OSError | OperationalError):
            raise unwritable(paths.root, error) from error
        raise
    finally:
        forget_drawn_ids()


def _make(config: DictConfig) -> ExperimentPaths:
    experiment_dir = Path(config.experiment_dir).absolute()
    made = [path for path in (experiment_dir, *experiment_dir.parents) if not path.exists()]
    try:
        experiment_dir.mkdir(parents=True, exist_ok=True)
        free_mib = shutil.disk_usage(experiment_dir).free / _MIB
    except OSError as error:
        raise unwritable(experiment_dir, error) from error
    if free_mib < _MIN_FREE_MIB:
        for path in made:
            path.rmdir()
        raise ExperimentError(
            f"cannot write the experiment into {experiment_dir}: {free_mib:.1f} MiB are free there, and its "
            f"databases alone may need {_MIN_FREE_MIB}.\nChoose another place with experiment_dir=..."
        )
    while True:
        paths = ExperimentPaths(experiment_dir, config.experiment_id or draw_experiment_id(config))
        if (key := _taken_in(config, paths.experiment_id)) is not None:
            if config.experiment_id is not None:
                raise ExperimentError(_taken_there(key, config))
            forget_drawn_ids()
            continue
        try:
            paths.root.mkdir()
        except FileExistsError as error:
            if config.experiment_id is not None:
                raise ExperimentError(_taken(paths)) from error
            forget_drawn_ids()
        except OSError as error:
            raise unwritable(experiment_dir, error) from error
        else:
            return paths


@contextmanager
def kept_directory(paths: ExperimentPaths) -> Iterator[ExperimentPaths]:
    """The directory of an experiment that is opened again: whatever fails, all of it stays.

    Raises DiskError when it cannot be written.
    """
    try:
        yield paths
    except (OSError, OperationalError) as error:
        told = error if isinstance(error, DiskError) else disk_error(paths.root, error)
        raise paused(told, paths.root) from error


def first_metadata(
    spec: TrialSpec, name: str, experiment_id: str, random_seed: int, source: DataSource | None
) -> dict[str, Any]:
    """What metadata.json holds of a trial before its start."""
    return {
        "trial_id": name,
        "number": spec.number,
        "attempt": 1,
        "experiment_id": experiment_id,
        "params": dict(spec.params),
        "log_iteration": 0,
        "checkpoint_iteration": 0,
        "best_iteration": 0,
        "data_source": source.name if source else None,
        "data_digest": source.digest if source else None,
        "random_seed": random_seed,
    }


def make_trial(paths: TrialPaths, metadata: Mapping[str, Any], *, exist_ok: bool) -> None:
    """Make a trial's directory, or what is missing of it; metadata.json comes last, and says that it is whole."""
    for folder in paths.folders:
        folder.mkdir(exist_ok=exist_ok)
    if not Metadata.of(paths).items():
        # where the trial had begun, it goes on from its checkpoints
        begun = {"started_at": timestamp(paths.config.stat().st_mtime)} if paths.config.exists() else {}
        Metadata(paths.metadata, {}).update(**metadata, **begun)


def write_config(paths: ExperimentPaths, text: str, *, is_changed: bool) -> None:
    """Write default_config.yaml where there is none or it has changed: what it was keeps a numbered name."""
    if paths.config.exists():
        if not is_changed:
            return
        index = next(index for index in count(1) if not paths.earlier_config(index).exists())
        replace_text(paths.earlier_config(index), paths.config.read_text(encoding="utf-8"))
    replace_text(paths.config, text)


def check_new(config: DictConfig) -> None:
    """Raise ExperimentError when the given experiment_id is taken; for what must not make a directory."""
    if config.experiment_id is not None:
        paths = ExperimentPaths(Path(config.experiment_dir).absolute(), config.experiment_id)
        if paths.root.exists():
            raise ExperimentError(_taken(paths))
        if (key := _taken_in(config, paths.experiment_id)) is not None:
            raise ExperimentError(_taken_there(key, config))


def unwritable(path: Path, error: Exception) -> ExperimentError:
    """What is told when a directory cannot be written: by the filesystem, or by SQLite."""
    reason = getattr(error, "strerror", None) or str(getattr(error, "orig", error))
    return ExperimentError(
        f"cannot write the experiment into {path}: {reason}.\nChoose another place with experiment_dir=..."
    )


def _taken_in(config: DictConfig, experiment_id: str) -> str | None:
    """The key of a server's database that has an experiment of that id, whose directory is elsewhere."""
    urls = {key: str(config[key]) for key in KEYS if config[key] is not None}
    return next((key for key, url in urls.items() if is_taken(key, url, experiment_id)), None)


def _taken_there(key: str, config: DictConfig) -> str:
    return (
        f"experiment_id={config.experiment_id} is taken in {key}={shown(str(config[key]))}, by an experiment of "
        "another directory.\n"
        "Nothing is ever overwritten: leave experiment_id out to draw a new one, or choose another."
    )


def _taken(paths: ExperimentPaths) -> str:
    return (
        f"experiment_id={paths.experiment_id} is taken: {paths.root} exists ({_progress(paths)}).\n"
        "Nothing is ever overwritten: leave experiment_id out to draw a new one, or choose another."
    )


def _progress(paths: ExperimentPaths) -> str:
    """How far the experiment on disk got, in words."""
    if not is_there(paths.state_db):
        return "it has no state database"
    try:
        with closing(reading(paths.state_db)) as connection:
            rows = connection.execute("SELECT state, COUNT(*) FROM trials GROUP BY state").fetchall()
    except sqlite3.Error as error:
        return f"its state database cannot be read: {error}"
    counts = Counter(dict(rows))
    finished = sum(counts[state.value] for state in State if state.is_finished)
    return f"{counts.total()} trials, {finished} finished, {counts[State.COMPLETE.value]} complete"
