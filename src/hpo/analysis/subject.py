"""What is analysed: the trials that count, the metrics and parameters, by the names that are shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hpo.analysis.design import Design, design_of
from hpo.analysis.loading import EXPERIMENT, Loaded
from hpo.analysis.parameters import Parameter
from hpo.config import Direction
from hpo.counted import counted
from hpo.errors import ExperimentError
from hpo.frames import PARAMS, column_of
from hpo.objectives import PROGRESS, Objective, spread_name
from hpo.records import State

if TYPE_CHECKING:
    import pandas

_MAX_METRICS = 4
_NOT_METRICS = ("is_feasible", "duration_s", "number")
_BEST = "best_"


@dataclass(frozen=True)
class Names:
    """What keys and metrics are called in figures and tables."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    short: Mapping[str, str] = field(default_factory=dict)

    def of_parameter(self, key: str) -> str:
        return str(self.attributes.get(key) or self.short.get(key) or key)

    def of_metric(self, name: str) -> str:
        return str(self.metrics.get(name) or name)


@dataclass(frozen=True)
class Subject:
    """`complete` are the trials that figures and tables compare; `notes` say what is left out, and why.

    `parameters` are those in which complete trials differ, `tried` those in which any trials do.
    """

    loaded: Loaded
    complete: pandas.DataFrame
    objectives: tuple[Objective, ...]
    metrics: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    tried: tuple[Parameter, ...]
    names: Names
    design: Design
    notes: tuple[str, ...]

    @property
    def trials(self) -> pandas.DataFrame:
        return self.loaded.trials

    @property
    def first(self) -> Objective:
        return self.objectives[0]

    @property
    def is_several(self) -> bool:
        return len(self.loaded.sources) > 1

    def best(self) -> pandas.Series | None:
        """The row of the best trial by the first objective that breaks no soft constraint."""
        able = self.complete[self.complete["is_feasible"].astype(bool)]
        if able.empty:
            return None
        values = able[column_of(self.first.name)]
        return able.loc[values.idxmin() if is_min(self.first) else values.idxmax()]


def is_min(objective: Objective) -> bool:
    return objective.direction is Direction.min


def chosen(
    loaded: Loaded,
    attribute_name_remap: Mapping[str, str] | None = None,
    metric_name_remap: Mapping[str, str] | None = None,
) -> Subject:
    """Raises ExperimentError when the experiments share no objective."""
    objectives, notes = _objectives(loaded)
    trials = loaded.trials
    columns = [column_of(each.name) for each in objectives]
    for column in columns:
        if column not in trials.columns:
            trials[column] = np.nan
    is_complete = trials["state"] == State.COMPLETE.value
    is_finite = np.isfinite(trials[columns].to_numpy(dtype=float)).all(axis=1)
    complete = trials[is_complete & is_finite]
    notes += _left_out(trials, int((is_complete & ~is_finite).sum()), objectives)
    notes += [
        f"experiment {each.paths.experiment_id}: {each.said}" for each in loaded.sources if _is_odd(each.said)
    ]
    metrics, left = _metrics(complete, objectives)
    notes += left
    parameters, constant = _varying(loaded, complete)
    notes += constant
    num_pruned = int((trials["state"] == State.PRUNED_POOR_PERFORMANCE.value).sum())
    samplers = [name for each in loaded.sources for name in each.samplers]
    attributes, names = dict(attribute_name_remap or {}), dict(metric_name_remap or {})
    known = {*trials.columns, *(each.key for each in loaded.parameters)}
    renamed = {**attributes, **names}
    notes += [f"{key} is renamed, and there is no such parameter or metric" for key in renamed if key not in known]
    return Subject(
        loaded,
        complete,
        objectives,
        metrics,
        parameters,
        _differing(loaded, trials),
        Names(attributes, names, _short([each.key for each in parameters])),
        design_of(samplers, num_pruned),
        tuple(notes),
    )


def _objectives(loaded: Loaded) -> tuple[tuple[Objective, ...], list[str]]:
    first, *others = [source.objectives for source in loaded.sources]
    shared = tuple(each for each in first if all(each in other for other in others))
    if not shared:
        told = "; ".join(
            f"{source.paths.experiment_id}: "
            + ", ".join(f"{each.name} ({each.direction.value})" for each in source.objectives)
            for source in loaded.sources
        )
        raise ExperimentError(f"the experiments share no objective, and cannot be compared: {told}")
    every = dict.fromkeys(each.name for source in loaded.sources for each in source.objectives)
    left = [name for name in every if name not in [each.name for each in shared]]
    return shared, [f"objective {name}: left out, since not all experiments have it" for name in left]


def _left_out(trials: pandas.DataFrame, num_not_finite: int, objectives: Sequence[Objective]) -> list[str]:
    counts = Counter(trials["state"])
    notes = [
        f"{counted(counts[state.value], 'trial')} {state.value}: not compared"
        for state in State
        if counts[state.value] and state is not State.COMPLETE
    ]
    if num_not_finite:
        told = " or ".join(each.name for each in objectives)
        notes.append(f"{counted(num_not_finite, 'complete trial')} without a finite {told}: not compared")
    if not counts[State.COMPLETE.value] - num_not_finite:
        notes.append("no trial is complete with a finite objective: there is nothing to compare")
    num_broken = int((~trials["is_feasible"].astype(bool)).sum())
    if num_broken:
        notes.append(f"soft constraints broken by {counted(num_broken, 'trial')}: compared, and never the best")
    return notes


def _is_odd(said: str) -> bool:
    """Whether an experiment is not over."""
    return said not in (State.COMPLETE.value, State.FAIL.value)


def _metrics(complete: pandas.DataFrame, objectives: Sequence[Objective]) -> tuple[tuple[str, ...], list[str]]:
    """The objectives and then other metrics that differ between trials, as columns; and what is left out."""
    first = [column_of(each.name) for each in objectives]
    spreads = {spread_name(name) for name in complete.columns}
    others = [
        name
        for name in complete.columns
        if name not in first
        and name not in (*_NOT_METRICS, *PROGRESS)
        and name not in spreads
        and not name.startswith((PARAMS, _BEST))
        and complete[name].dtype.kind in "fi"
        and np.isfinite(complete[name].to_numpy(dtype=float)).sum() > 1
        and complete[name].nunique() > 1
    ]
    others.sort(key=lambda name: not name.startswith("val_"))
    kept, rest = others[: max(0, _MAX_METRICS - len(first))], others[max(0, _MAX_METRICS - len(first)) :]
    notes = _not_finite(complete, (*first, *_NOT_METRICS, *PROGRESS))
    notes += [f"figures of parameters show {_MAX_METRICS} metrics; left out: {', '.join(rest)}"] if rest else []
    return (*first, *kept), notes


def _not_finite(complete: pandas.DataFrame, others: Sequence[str]) -> list[str]:
    """Which metrics lack values, and how many; figures leave those out."""
    notes = []
    for name in complete.columns:
        if name in others or name.startswith((PARAMS, _BEST)) or complete[name].dtype.kind not in "fi":
            continue
        num_missing = int((~np.isfinite(complete[name].to_numpy(dtype=float))).sum())
        if num_missing:
            notes.append(f"{name} is missing or not finite in {num_missing} of {len(complete)} compared trials")
    return notes


def _differing(loaded: Loaded, trials: pandas.DataFrame) -> tuple[Parameter, ...]:
    """The parameters in which trials differ, and the experiment where there are several."""
    found = [each for each in loaded.parameters if trials[f"{PARAMS}{each.key}"].map(repr).nunique() > 1]
    if len(loaded.sources) > 1:
        ids = tuple(source.paths.experiment_id for source in loaded.sources)
        found.append(Parameter(EXPERIMENT, False, choices=ids))
    return tuple(found)


def _varying(loaded: Loaded, complete: pandas.DataFrame) -> tuple[tuple[Parameter, ...], list[str]]:
    kept, notes = [], []
    for each in loaded.parameters:
        values = complete[f"{PARAMS}{each.key}"]
        different = values.map(repr).nunique()
        if len(complete) and different < 2:
            value = "missing" if not different or values.isna().all() else values.iloc[0]
            notes.append(f"{each.key} is {value} in all compared trials: there is nothing to compare")
        else:
            kept.append(each)
        num_missing = int(values.isna().sum()) if each.is_numerical else 0
        if num_missing and different > 1:
            notes.append(f"{each.key} is not there in {num_missing} of {len(complete)} compared trials")
    if len(loaded.sources) > 1:
        ids = tuple(source.paths.experiment_id for source in loaded.sources)
        kept.append(Parameter(EXPERIMENT, False, choices=ids))
    return tuple(kept), notes


def values_of(frame: pandas.DataFrame, parameter: Parameter) -> pandas.Series:
    """The values of a parameter in each trial."""
    return frame[EXPERIMENT if parameter.key == EXPERIMENT else f"{PARAMS}{parameter.key}"]


def _short(keys: Sequence[str]) -> dict[str, str]:
    """Each key by as many of its last parts as tell it from the others."""
    found = {}
    for key in keys:
        parts = re.split(r"\.", key)
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[-count:])
            if not any(other != key and (other == name or other.endswith(f".{name}")) for other in keys):
                found[key] = name
                break
    return found
