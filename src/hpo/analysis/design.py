"""How an experiment chose its trials, and so what may be concluded from them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum

from hpo.paths import ExperimentPaths
from hpo.stored import SAMPLERS, reading

_NOTED = (
    "SELECT value_json FROM study_user_attributes JOIN studies USING (study_id) WHERE study_name = ? AND key = ?"
)
_ALGORITHMS = ("search_algo=", "hydra/sweeper/sampler=")
UNKNOWN = "unknown"
# they choose what to try without a look at results
_FREE = frozenset(("random", "grid", "qmc", "bruteforce"))
_ABLATION = "ablation"


class Kind(StrEnum):
    """What the trials allow."""

    CROSSED = "crossed"
    """All factors vary together, and independently of the results: each choice is held against the others."""
    ONE_AT_A_TIME = "one at a time"
    """Trials differ from the configured values in one factor each, and are held against those."""
    DESCRIPTIVE = "descriptive"
    """Results decided what was tried or kept: means of choices are biased, and nothing is tested."""


@dataclass(frozen=True)
class Design:
    """`reason` says in words why."""

    kind: Kind
    samplers: tuple[str, ...]
    reason: str


def samplers_of(paths: ExperimentPaths) -> tuple[str, ...]:
    """What proposed the trials of an experiment, by the study, or else by the command's arguments."""
    try:
        with closing(reading(paths.study_db)) as connection:
            row = connection.execute(_NOTED, (paths.experiment_id, SAMPLERS)).fetchone()
        if row is not None:
            return tuple(map(_short, json.loads(row[0])))
    except (sqlite3.Error, ValueError, TypeError):
        pass
    return (_of_arguments(paths),)


def design_of(samplers: Sequence[str], num_pruned: int) -> Design:
    """What trials of those samplers allow, of which so many were pruned for what they reported."""
    names = tuple(dict.fromkeys(samplers))
    spelled = ", ".join(names) or UNKNOWN
    if UNKNOWN in names or not names:
        return Design(Kind.DESCRIPTIVE, names, "the experiment does not say what proposed its trials")
    following = [name for name in names if name not in _FREE and name != _ABLATION]
    if following:
        reason = f"the sampler ({', '.join(following)}) follows results, so that its trials are biased"
        return Design(Kind.DESCRIPTIVE, names, reason)
    if num_pruned:
        reason = f"{num_pruned} trials were pruned for their results, so that those that completed are biased"
        return Design(Kind.DESCRIPTIVE, names, reason)
    if set(names) == {_ABLATION}:
        reason = "each choice is held against the configured values, among trials that differ in nothing else"
        return Design(Kind.ONE_AT_A_TIME, names, reason)
    if _ABLATION in names:
        return Design(Kind.DESCRIPTIVE, names, f"an ablation is mixed with other trials ({spelled})")
    reason = f"the sampler ({spelled}) does not look at results: each choice is held against all other trials"
    return Design(Kind.CROSSED, names, reason)


def _short(name: str) -> str:
    """`tpe` of TPESampler: what search_algo calls it."""
    return str(name).removesuffix("Sampler").lower()


def _of_arguments(paths: ExperimentPaths) -> str:
    """An experiment may name another one in its YAML: without an argument the sampler is not known."""
    try:
        with closing(reading(paths.state_db)) as connection:
            row = connection.execute(
                "SELECT arguments FROM experiments WHERE experiment_id = ?", (paths.experiment_id,)
            ).fetchone()
        arguments = [str(argument) for argument in json.loads(row[0])]
    except (sqlite3.Error, ValueError, TypeError):
        return UNKNOWN
    named = [argument.partition("=")[2] for argument in arguments if argument.lstrip("+").startswith(_ALGORITHMS)]
    return named[-1].lower() if named else UNKNOWN
