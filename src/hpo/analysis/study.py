"""Trials as a study of Optuna in memory, for its statistics and its plots."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.analysis.levels import choices_of, labels_of
from hpo.analysis.loading import EXPERIMENT
from hpo.analysis.parameters import Parameter
from hpo.analysis.subject import Subject, values_of
from hpo.frames import column_of

if TYPE_CHECKING:
    import optuna
    import pandas


def thinned(frame: pandas.DataFrame, count: int) -> pandas.DataFrame:
    """At most so many rows, drawn evenly over the trials."""
    if len(frame) <= count:
        return frame
    chosen = np.random.default_rng(0).choice(len(frame), count, replace=False)
    return frame.iloc[np.sort(chosen)]


def thinning(num: int, most: int) -> str:
    """What a figure says that draws at most so many trials; empty where it draws all."""
    return f"{most} of {num} trials, drawn at random" if num > most else ""


def study_of(subject: Subject, frame: pandas.DataFrame, spelled: Callable[[str], str] = str) -> optuna.Study:
    """The trials of `frame`, with parameters and choices by the names that are shown, as `spelled` writes them.

    A parameter that is the same in all of them is left out.
    """
    import optuna

    with quiet():
        study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(),
            directions=[
                "minimize" if each.direction.value == "min" else "maximize" for each in subject.objectives
            ],
        )
        columns = [_column(subject, frame, each, spelled) for each in searched(subject.parameters)]
        known = [column for column in columns if column is not None]
        values = frame[[column_of(each.name) for each in subject.objectives]].to_numpy(dtype=float)
        trials = []
        for row, of_row in enumerate(values):
            params = {name: cells[row] for name, _, cells in known if cells[row] is not None}
            trials.append(
                optuna.trial.create_trial(
                    values=of_row.tolist(),
                    params=params,
                    distributions={name: kind for name, kind, _ in known if name in params},
                )
            )
        study.add_trials(trials)
    return study


def searched(parameters: Sequence[Parameter]) -> list[Parameter]:
    """All but the experiment, which is compared as if it were one."""
    return [each for each in parameters if each.key != EXPERIMENT]


@contextmanager
def quiet() -> Iterator[None]:
    """What Optuna says of experimental features is not for whoever reads an analysis."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _column(
    subject: Subject, frame: pandas.DataFrame, parameter: Parameter, spelled: Callable[[str], str]
) -> tuple[str, Any, list[Any]] | None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    name = spelled(subject.names.of_parameter(parameter.key))
    if not parameter.is_numerical:
        labels = labels_of(frame, parameter)
        choices = choices_of(parameter, labels)
        if len(choices) < 2:
            return None
        told = _told(choices, spelled)
        cells = [told[label] if isinstance(label, str) else None for label in labels]
        return name, CategoricalDistribution([*told.values()]), cells
    values = values_of(frame, parameter).to_numpy(dtype=float)
    if parameter.is_log:
        # a default of zero where the parameter is not searched is on no logarithmic axis
        values = np.where(values > 0, values, np.nan)
    known = values[np.isfinite(values)]
    if not len(known) or known.min() == known.max():
        return None
    kind = FloatDistribution(float(known.min()), float(known.max()), log=parameter.is_log)
    return name, kind, [float(value) if np.isfinite(value) else None for value in values]


def _told(choices: Sequence[str], spelled: Callable[[str], str]) -> dict[str, Any]:
    """What the study has for each choice: numbers, which Optuna's plots put in their order, or else texts."""
    try:
        numbers = {choice: _number(choice) for choice in choices}
    except ValueError:
        return {choice: spelled(choice) for choice in choices}
    is_ordered = len(set(numbers.values())) == len(numbers) and all(map(math.isfinite, numbers.values()))
    return numbers if is_ordered else {choice: spelled(choice) for choice in choices}


def _number(choice: str) -> int | float:
    try:
        return int(choice)
    except ValueError:
        return float(choice)
