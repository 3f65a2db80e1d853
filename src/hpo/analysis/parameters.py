"""What kind each searched parameter is, by the study or else by the search space and the values."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from hpo.paths import ExperimentPaths
from hpo.records import Value
from hpo.stored import is_there, reading

_KINDS = (
    "SELECT DISTINCT param_name, distribution_json FROM trial_params JOIN trials USING (trial_id) "
    "JOIN studies USING (study_id) WHERE study_name = ?"
)
_LOG = re.compile(r"\btag\(\s*log\b")
_CATEGORICAL = "CategoricalDistribution"
_INT = "IntDistribution"


@dataclass(frozen=True)
class Parameter:
    """A searched key: a number (on a logarithmic scale where `is_log`), or one of `choices`."""

    key: str
    is_numerical: bool
    is_log: bool = False
    is_int: bool = False
    choices: tuple[Value, ...] = ()


def read_parameters(
    paths: ExperimentPaths, search_space: Mapping[str, Any], values: Mapping[str, Sequence[Any]]
) -> tuple[Parameter, ...]:
    """Those of one experiment, in the order of `values`: what its trials had, by key."""
    of_study = _by_key(_distributions(paths), values)
    found = []
    for key, had in values.items():
        parameter = of_study.get(key) or _guessed(key, had, search_space)
        if not parameter.is_numerical:
            known = parameter.choices
            others = tuple(value for value in _different(had) if not any(_is_same(value, each) for each in known))
            parameter = replace(parameter, choices=(*known, *others))
        found.append(parameter)
    return tuple(found)


def merged(one: Parameter, other: Parameter) -> Parameter:
    """One parameter of two experiments that search it in different ways."""
    if one.is_numerical and other.is_numerical:
        return Parameter(one.key, True, one.is_log or other.is_log, one.is_int and other.is_int)
    choices = (
        *one.choices,
        *(each for each in other.choices if not any(_is_same(each, own) for own in one.choices)),
    )
    return Parameter(one.key, False, choices=choices)


def _distributions(paths: ExperimentPaths) -> list[tuple[str, dict[str, Any]]]:
    """Names and distributions as the study has them; nothing where it cannot be read."""
    if not is_there(paths.study_db):
        return []
    try:
        with closing(reading(paths.study_db)) as connection:
            rows = connection.execute(_KINDS, (paths.experiment_id,)).fetchall()
        return [(name, json.loads(text)) for name, text in rows]
    except (sqlite3.Error, ValueError):
        return []


def _by_key(kinds: Iterable[tuple[str, dict[str, Any]]], keys: Iterable[str]) -> dict[str, Parameter]:
    """Where branches search one key in different ways, the study calls it by the path that leads there."""
    known = sorted(keys, key=len, reverse=True)
    found: dict[str, Parameter] = {}
    for name, kind in kinds:
        key = name if name in known else next((each for each in known if name.endswith(f"/{each}")), None)
        if key is None:
            continue
        attributes = kind["attributes"]
        if kind["name"] == _CATEGORICAL:
            parameter = Parameter(key, False, choices=tuple(attributes["choices"]))
        else:
            parameter = Parameter(key, True, bool(attributes.get("log")), kind["name"] == _INT)
        found[key] = merged(found[key], parameter) if key in found else parameter
    return found


def _guessed(key: str, values: Sequence[Any], search_space: Mapping[str, Any]) -> Parameter:
    had = _different(values)
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in had)
    if not had or not are_numbers:
        return Parameter(key, False)
    is_log = any(_LOG.search(str(sweep)) for sweep in _sweeps(key, search_space))
    return Parameter(key, True, is_log and min(map(float, had)) > 0, all(isinstance(value, int) for value in had))


def _sweeps(key: str, space: Any) -> Iterator[Any]:
    """What the search space says of a key, below whichever option it stands."""
    if isinstance(space, Mapping):
        for name, value in space.items():
            if str(name).lstrip("+") == key.lstrip("+"):
                yield value
            yield from _sweeps(key, value)


def _different(values: Iterable[Any]) -> list[Any]:
    """The values, each once; 1, 1.0 and True are different ones."""
    return list({(type(value), value): value for value in values}.values())


def _is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
