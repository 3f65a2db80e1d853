"""The learning curves that a figure shows: of thousands of trials the best and a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpo.analysis.history import Floats
from hpo.analysis.loading import EXPERIMENT
from hpo.analysis.subject import Subject, is_min
from hpo.objectives import Objective
from hpo.records import State

if TYPE_CHECKING:
    import pandas

_MAX_CURVES = 300
_NUM_BEST = 10
_MAX_COLORED = 10
_COLORED = 5


@dataclass(frozen=True)
class Curve:
    """One trial (or one of its seeds): `rank` 0 is the best complete one, None one that is not complete."""

    experiment_id: str
    number: int
    steps: Floats
    values: Floats
    state: State
    rank: int | None

    @property
    def is_dimmed(self) -> bool:
        return self.state is not State.COMPLETE

    @property
    def trial(self) -> tuple[str, int]:
        return self.experiment_id, self.number


def curves(subject: Subject, objective: Objective) -> tuple[list[Curve], str | None]:
    """The curves of an objective over the steps of its evaluations, worst first; and what is left out."""
    results = subject.loaded.results
    if objective.name not in results.columns or results.empty:
        return [], f"no trial has reported {objective.name}"
    finite = results[np.isfinite(results[objective.name].to_numpy(dtype=float))]
    keys = [EXPERIMENT, "number", "replicate"]
    counts = finite.groupby(keys, sort=False)["step"].nunique()
    if counts.empty or counts.max() < 2:
        return [], f"no trial has reported {objective.name} more than once"
    chosen = _chosen(subject, objective)
    wanted = finite.merge(chosen, on=[EXPERIMENT, "number"])
    found = []
    for (experiment_id, number, _), rows in wanted.groupby(keys, sort=False):
        ordered = rows.sort_values("step")
        rank = ordered["rank"].iloc[0]
        found.append(
            Curve(
                str(experiment_id),
                int(number),
                ordered["step"].to_numpy(dtype=float),
                ordered[objective.name].to_numpy(dtype=float),
                State(ordered["state"].iloc[0]),
                None if np.isnan(rank) else int(rank),
            )
        )
    found.sort(key=lambda curve: -np.inf if curve.rank is None else -curve.rank)
    num = len(counts)
    left = num - len(found)
    return found, f"{len(found)} of {num} curves: the best and a sample" if left > 0 else None


def colored(found: Sequence[Sequence[Curve]]) -> dict[tuple[str, int], int]:
    """The trials that stand out in the panels of all objectives, each with the index of its one colour.

    Those are the best by any objective: of one objective five, of more fewer of each, so that colours differ.
    """
    most = max(1, min(_COLORED, _MAX_COLORED // max(1, len(found))))
    ranked = {
        curve.trial: None
        for of_one in found
        for curve in sorted(of_one, key=lambda curve: np.inf if curve.rank is None else curve.rank)
        if curve.rank is not None and curve.rank < most
    }
    return {trial: index for index, trial in enumerate(ranked)}


def _chosen(subject: Subject, objective: Objective) -> pandas.DataFrame:
    """The trials whose curves are shown, with their state and rank."""
    trials = subject.trials[[EXPERIMENT, "number", "state"]].copy()
    values = subject.complete[objective.name if objective.name in subject.complete else subject.metrics[0]]
    trials["rank"] = values.rank(ascending=is_min(objective), method="first") - 1
    ran = trials[trials["state"] != State.WAITING.value]
    if len(ran) <= _MAX_CURVES:
        return ran
    is_best = ran["rank"] < _NUM_BEST
    rng = np.random.default_rng(0)
    rest = np.flatnonzero(~is_best.to_numpy())
    sample = np.sort(rng.choice(rest, _MAX_CURVES - int(is_best.sum()), replace=False))
    return ran[is_best | ran.index.isin(ran.index[sample])]
