"""The trials and evaluations of one or several experiments, as two dataframes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.analysis.design import samplers_of
from hpo.analysis.extra import check_extra
from hpo.analysis.parameters import Parameter, merged, read_parameters
from hpo.errors import ExperimentError
from hpo.experiment.lock import holder_of
from hpo.frames import PARAMS, of_trials
from hpo.objectives import Objective
from hpo.paths import ExperimentPaths
from hpo.records import State
from hpo.resolved import plain
from hpo.saved import SavedExperiment, SavedTrial

if TYPE_CHECKING:
    import pandas

EXPERIMENT = "experiment_id"


@dataclass(frozen=True)
class Source:
    """One of the experiments: what is known of it beside its trials. `said` is its state in words."""

    paths: ExperimentPaths
    objectives: tuple[Objective, ...]
    parameters: tuple[Parameter, ...]
    samplers: tuple[str, ...]
    said: str
    is_running: bool
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Loaded:
    """`trials`: a row each, with `params_<key>`; `results`: a row an evaluation; `replicates`: a row a seed.

    Each begins with experiment_id.
    """

    trials: pandas.DataFrame
    results: pandas.DataFrame
    replicates: pandas.DataFrame
    sources: tuple[Source, ...]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those that any of the experiments searches."""
        found: dict[str, Parameter] = {}
        for source in self.sources:
            for each in source.parameters:
                found[each.key] = merged(found[each.key], each) if each.key in found else each
        return tuple(found.values())


def load(directories: str | Path | Iterable[str | Path]) -> Loaded:
    """Read experiments, over or still running, without writing to them.

    A parameter that is not searched in a trial has the value of the trial's configuration, and is missing (NaN)
    where that has no such key, as below an option that was not chosen. Metrics are numbers, NaN and infinity
    among them.

    Raises ExperimentError for a directory that holds no experiment, and HpoError without the extra `analysis`.
    """
    check_extra()
    import pandas

    given = [directories] if isinstance(directories, str | Path) else list(directories)
    if not given:
        raise ExperimentError("no experiment is named: give at least one directory")
    opened = list({each.directory: each for each in map(SavedExperiment.open, map(Path, given))}.values())
    trials_of = [each.outlines for each in opened]
    keys = list(dict.fromkeys(key for trials in trials_of for trial in trials for key in trial.params))
    sources, frames = [], []
    for experiment, trials in zip(opened, trials_of, strict=True):
        source = _source(experiment, trials)
        sources.append(source)
        unknown = [trial.number for trial in trials if any(key not in trial.params for key in keys)]
        configs = experiment.configs(unknown) if unknown else {}
        frames.append(_identified(_filled(of_trials(trials), trials, keys, configs, source.config), source))
    results = [_identified(each.reports(), source) for each, source in zip(opened, sources, strict=True)]
    seeds = [_identified(each.replicates(), source) for each, source in zip(opened, sources, strict=True)]
    return Loaded(
        _together(pandas, frames),
        _together(pandas, results),
        _together(pandas, seeds),
        tuple(sources),
    )


def _source(experiment: SavedExperiment, trials: Sequence[SavedTrial]) -> Source:
    paths = ExperimentPaths.of(experiment.directory)
    try:
        config = plain(experiment.config)
    except Exception as error:  # a file that somebody edited, or that is gone
        raise ExperimentError(f"{paths.config} cannot be read: {str(error).splitlines()[0]}") from error
    had: dict[str, list[Any]] = {}
    for trial in trials:
        for key, value in trial.params.items():
            had.setdefault(key, []).append(value)
    state, holder = experiment.state, holder_of(paths.lock)
    said = state.value
    if holder is not None:
        said = f"running: {holder}"
    elif state is State.RUNNING:
        said = "not running: its scheduler died"
    return Source(
        paths,
        experiment.objectives,
        read_parameters(paths, config.get("search_space") or {}, had),
        samplers_of(paths),
        said,
        holder is not None,
        config,
    )


def _filled(
    frame: pandas.DataFrame,
    trials: Sequence[SavedTrial],
    keys: Sequence[str],
    configs: Mapping[int, Mapping[str, Any]],
    defaults: Mapping[str, Any],
) -> pandas.DataFrame:
    """The frame with a column for each key; where a trial was not proposed with one, what it was configured as."""
    for key in keys:
        values = [
            trial.params[key] if key in trial.params else _configured(configs.get(trial.number, defaults), key)
            for trial in trials
        ]
        # a column of objects keeps 1, True and "1" apart; numbers get a column of their own kind
        column = frame.get(f"{PARAMS}{key}")
        frame[f"{PARAMS}{key}"] = _column(values) if column is None or column.isna().any() else column
    return frame


def _column(values: Sequence[Any]) -> Any:
    import pandas

    known = [value for value in values if value is not None]
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    kind = float if known and are_numbers and len(known) < len(values) else None
    return pandas.Series(values, dtype=kind or (None if are_numbers and known else object))


def _configured(config: Mapping[str, Any], key: str) -> Any:
    """A value of the configuration by its dotted key; None for what is not there, or is no single value."""
    node: Any = config
    for part in key.lstrip("+").split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node if isinstance(node, bool | int | float | str) else None


def _identified(frame: pandas.DataFrame, source: Source) -> pandas.DataFrame:
    if EXPERIMENT in frame.columns:
        frame = frame.rename(columns={EXPERIMENT: f"metrics_{EXPERIMENT}"})
    frame.insert(0, EXPERIMENT, source.paths.experiment_id)
    return frame


def _together(pandas: Any, frames: Sequence[pandas.DataFrame]) -> Any:
    if len(frames) == 1:
        return frames[0]
    # a column that is empty in one experiment has no kind there
    kept = [frame for frame in frames if len(frame)]
    return (
        pandas.concat([frame.dropna(axis=1, how="all") for frame in kept], ignore_index=True).reindex(
            columns=list(dict.fromkeys(name for frame in frames for name in frame.columns))
        )
        if kept
        else frames[0]
    )
