"""What the study keeps of a trial's replicates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hpo.objectives import Objective, objective_values, spread_name
from hpo.records import Ended, ReplicateEnded, State


def attributes_of(
    replicates: Iterable[ReplicateEnded], ended: Ended, objectives: tuple[Objective, ...]
) -> Mapping[str, Any]:
    """A trial's user attributes: seeds and objectives of its complete replicates, and how far these lie apart."""
    complete = [each for each in replicates if each.state is State.COMPLETE]
    if not complete:
        return {}
    spreads = [spread_name(objective.name) for objective in objectives]
    return {
        "replicates": [objective_values(objectives, each.metrics) for each in complete],
        "random_seeds": [each.random_seed for each in complete],
        **{name: ended.metrics[name] for name in spreads if name in ended.metrics},
    }
