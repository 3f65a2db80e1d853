"""The Pareto set: the trials that no other one beats in every objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import le

from hpo.config import Direction
from hpo.objectives import Objective


class ParetoSet:
    """Grows trial by trial: one costs a comparison with each member, whatever the number of trials."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._signs = [1.0 if objective.direction is Direction.min else -1.0 for objective in objectives]
        self._costs: dict[int, tuple[float, ...]] = {}

    @property
    def numbers(self) -> list[int]:
        return sorted(self._costs)

    def add(self, number: int, values: Sequence[float]) -> None:
        """Take a trial in when no member beats it, and put out those that it beats; equal ones stay together.

        A trial with a value that is not finite is left out.
        """
        cost = tuple(sign * value for sign, value in zip(self._signs, values, strict=True))
        if not all(map(math.isfinite, cost)):
            return
        members = self._costs.values()
        if any(_dominates(member, cost) for member in members):
            return
        beaten = [other for other, member in self._costs.items() if _dominates(cost, member)]
        for other in beaten:
            del self._costs[other]
        self._costs[number] = cost


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(map(le, one, other)) and one != other
