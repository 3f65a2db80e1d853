"""The ablation table: what each choice came to, and whether it differs from the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hpo.analysis.design import Kind
from hpo.analysis.effects import Effect, effect, holm
from hpo.analysis.levels import parts_of
from hpo.analysis.loading import EXPERIMENT
from hpo.analysis.parameters import Parameter
from hpo.analysis.subject import Subject, is_min
from hpo.frames import column_of
from hpo.objectives import Objective
from hpo.records import State

if TYPE_CHECKING:
    import pandas

LEVEL = 0.05
DESCRIPTIVE = "descriptive only"
_MISSING = "(not there)"


@dataclass(frozen=True)
class Row:
    """One choice of one parameter, by one objective.

    `effect` holds it against `against`; `p` is corrected for the number of comparisons, and NaN where nothing is
    tested. `num` counts what the mean is of: trials, or seeds where an ablation has replicates.
    """

    parameter: Parameter
    choice: str
    objective: Objective
    num: int
    num_pruned: int
    num_failed: int
    mean: float
    best: float
    against: str
    effect: Effect
    p: float
    verdict: str


def ablation(subject: Subject) -> list[Row]:
    """Every choice of every parameter, for each objective."""
    if subject.complete.empty:
        return []
    compared = _one_at_a_time if subject.design.kind is Kind.ONE_AT_A_TIME else _crossed
    rows = []
    for objective in subject.objectives:
        rows += _judged(subject, list(compared(subject, objective)))
    return rows


def _crossed(subject: Subject, objective: Objective) -> Iterator[Row]:
    values = subject.complete[column_of(objective.name)].to_numpy(dtype=float)
    for parameter in subject.tried:
        labels, choices = parts_of(subject.trials, parameter)
        of_complete = labels[subject.complete.index]
        for choice in choices:
            is_it = (of_complete == choice).to_numpy()
            others = values[~is_it & of_complete.notna().to_numpy()]
            row = _row(subject, parameter, choice, objective, values[is_it], labels)
            yield replace(row, against="the other trials", effect=effect(values[is_it], others))


def _one_at_a_time(subject: Subject, objective: Objective) -> Iterator[Row]:
    labels = {each.key: parts_of(subject.trials, each) for each in subject.tried}
    table = {key: of_key[0][subject.complete.index].fillna(_MISSING).to_numpy() for key, of_key in labels.items()}
    base = {key: _commonest(cells) for key, cells in table.items()}
    is_base = _same_but(table, base, None)
    reference = _values(subject, objective, is_base)
    for parameter in subject.tried:
        is_near = _same_but(table, base, parameter.key)
        of_key, choices = labels[parameter.key]
        for choice in choices:
            ours = _values(subject, objective, is_near & (table[parameter.key] == choice))
            row = _row(subject, parameter, choice, objective, ours, of_key)
            if choice == base[parameter.key]:
                yield replace(row, verdict="the configured value")
            else:
                yield replace(row, against="the configured values", effect=effect(ours, reference))


def _commonest(cells: np.ndarray) -> str:
    """The choice that most trials have, of equal ones the first: that of the configuration in an ablation."""
    counts: dict[str, int] = {}
    for cell in cells:
        counts[cell] = counts.get(cell, 0) + 1
    return max(counts, key=lambda cell: counts[cell])


def _same_but(table: dict[str, np.ndarray], base: dict[str, str], key: str | None) -> np.ndarray:
    """Which trials have the configured values in all but `key`; what another choice opens or closes counts not."""
    near = [
        (cells == base[name]) | ((key is not None) & ((cells == _MISSING) | (base[name] == _MISSING)))
        for name, cells in table.items()
        if name != key
    ]
    count = len(next(iter(table.values()))) if table else 0
    return np.asarray(np.logical_and.reduce(near)) if near else np.ones(count, dtype=bool)


def _values(subject: Subject, objective: Objective, is_chosen: np.ndarray) -> np.ndarray:
    """The objective of the chosen trials, or of their seeds where they have replicates."""
    chosen = subject.complete[is_chosen]
    return seeds_of(subject, chosen, objective)


def seeds_of(subject: Subject, trials: pandas.DataFrame, objective: Objective) -> np.ndarray:
    """The objective of each seed of those trials; of the trials where there are no replicates."""
    replicates = subject.loaded.replicates
    column = column_of(objective.name)
    if len(replicates) and objective.name in replicates.columns:
        keys = trials[[EXPERIMENT, "number"]]
        ended = replicates[replicates["state"] == State.COMPLETE.value]
        values = keys.merge(ended, on=[EXPERIMENT, "number"])[objective.name].to_numpy(dtype=float)
        values = values[np.isfinite(values)]
        if len(values):
            return np.asarray(values)
    return np.asarray(trials[column], dtype=float)


def _row(
    subject: Subject,
    parameter: Parameter,
    choice: str,
    objective: Objective,
    values: np.ndarray,
    labels: pandas.Series,
) -> Row:
    states = subject.trials["state"][labels == choice]
    best = math.nan
    if len(values):
        best = float(values.min() if is_min(objective) else values.max())
    return Row(
        parameter,
        choice,
        objective,
        num=len(values),
        num_pruned=int((states == State.PRUNED_POOR_PERFORMANCE.value).sum()),
        num_failed=int((states == State.FAIL.value).sum()),
        mean=float(values.mean()) if len(values) else math.nan,
        best=best,
        against="",
        effect=Effect(),
        p=math.nan,
        verdict="",
    )


def _judged(subject: Subject, rows: list[Row]) -> list[Row]:
    """The rows with corrected p-values. Of two choices each is held against the other: that is one comparison."""
    if subject.design.kind is Kind.DESCRIPTIVE:
        return [replace(row, verdict=DESCRIPTIVE) for row in rows]
    seen: dict[str, int] = {}
    for row in rows:
        seen[row.parameter.key] = seen.get(row.parameter.key, 0) + 1
    is_crossed = subject.design.kind is Kind.CROSSED
    twins = [
        index
        for index, row in enumerate(rows)
        if is_crossed and index and seen[row.parameter.key] == 2 and rows[index - 1].parameter == row.parameter
    ]
    corrected = holm([math.nan if index in twins else row.effect.p for index, row in enumerate(rows)])
    for index in twins:
        corrected[index] = corrected[index - 1]
    return [
        replace(row, p=p, verdict=row.verdict or _verdict(row, p)) for row, p in zip(rows, corrected, strict=True)
    ]


def _verdict(row: Row, p: float) -> str:
    if math.isnan(p):
        return row.effect.problem
    if p >= LEVEL:
        return "no difference shown"
    is_better = (row.effect.difference < 0) == is_min(row.objective)
    return "better" if is_better else "worse"


def num_comparisons(rows: Sequence[Row], objective: Objective) -> int:
    """How many were corrected for."""
    tested = {
        (row.parameter.key, abs(round(row.effect.g, 12)))
        for row in rows
        if row.objective == objective and not math.isnan(row.p)
    }
    return len(tested)
