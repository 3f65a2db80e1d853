"""The choices of a parameter as they are compared and shown; a range is cut into parts."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.analysis.parameters import Parameter
from hpo.analysis.subject import values_of
from hpo.overrides import encode_value

if TYPE_CHECKING:
    import pandas

_MAX_VALUES = 6
_NUM_PARTS = 4


def label_of(parameter: Parameter, value: Any) -> str | None:
    """A value as the command line spells it; None where the trial has none."""
    if _is_missing(value):
        return encode_value(None) if any(choice is None for choice in parameter.choices) else None
    if isinstance(value, np.generic):
        value = value.item()
    for choice in parameter.choices:
        if type(choice) is type(value) and choice == value:
            return encode_value(choice)
    for choice in parameter.choices:  # a column with gaps has 32.0 for 32
        if not isinstance(choice, bool | str) and not isinstance(value, bool | str) and choice == value:
            return encode_value(choice)
    return encode_value(value)


def labels_of(frame: pandas.DataFrame, parameter: Parameter) -> pandas.Series:
    """The choice of each trial in words."""
    values = values_of(frame, parameter)
    known = {_identity(value): label_of(parameter, value) for value in values}
    return _series([known[_identity(value)] for value in values], values)


def choices_of(parameter: Parameter, labels: pandas.Series) -> list[str]:
    """The choices that trials have, in the order of the search space."""
    there = set(labels.dropna())
    first = [label for label in (label_of(parameter, choice) for choice in parameter.choices) if label in there]
    return [*dict.fromkeys(first), *sorted(there.difference(first))]


def commonest(parameter: Parameter, labels: pandas.Series, limit: int) -> tuple[list[str], list[str]]:
    """At most `limit` of the choices that trials have, those of most trials, and what is said of the others."""
    choices = choices_of(parameter, labels)
    if len(choices) <= limit:
        return choices, []
    kept = set(labels.value_counts().index[:limit])
    return [choice for choice in choices if choice in kept], [f"the {limit} commonest of {len(choices)} choices"]


def parts_of(frame: pandas.DataFrame, parameter: Parameter) -> tuple[pandas.Series, list[str]]:
    """The choice of each trial, and all of them in order; of a range with many values the quarter."""
    if not parameter.is_numerical:
        labels = labels_of(frame, parameter)
        return labels, choices_of(parameter, labels)
    values = values_of(frame, parameter).astype(float)
    different = np.unique(values[np.isfinite(values)])
    if len(different) <= _MAX_VALUES:
        return _series([number(value) if np.isfinite(value) else None for value in values], values), [
            number(value) for value in different
        ]
    edges = np.unique(np.quantile(values[np.isfinite(values)], np.linspace(0, 1, _NUM_PARTS + 1)))
    names = [f"{number(low)} to {number(high)}" for low, high in pairwise(edges)]
    index = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(names) - 1)
    cells = [names[part] if np.isfinite(value) else None for part, value in zip(index, values, strict=True)]
    return _series(cells, values), names


def _series(cells: list[str | None], like: pandas.Series) -> pandas.Series:
    import pandas

    return pandas.Series(cells, index=like.index, dtype=object)


def number(value: float) -> str:
    return f"{value:.4g}"


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and bool(np.isnan(value)))


def _identity(value: Any) -> tuple[type, str]:
    return type(value), repr(value)
