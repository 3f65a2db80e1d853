"""The trials that wait for their resources, in the order in which they came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hpo.resources import Need
from hpo_launchers.jobs import Job
from hpo_launchers.local._packing import Placement, ResourcePool

MAX_OVERTAKEN = 10
"""So many later trials may start before one that does not fit; then what it waits for is left free."""


@dataclass
class _Waiting:
    job: Job
    need: Need
    num_overtaken: int = 0


class Line:
    """Whoever fits first goes first, so that nothing is idle that one of them could use.

    A trial that others have overtaken too often claims what is nearest to being free, and nobody takes that any
    more; on the rest of the machine the others go on.
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[tuple[Job, Need]]:
        return ((each.job, each.need) for each in self._waiting)

    def add(self, job: Job, need: Need) -> None:
        self._waiting.append(_Waiting(job, need))

    def clear(self) -> None:
        self._waiting.clear()

    def remove(self, job: Job) -> None:
        self._waiting = [each for each in self._waiting if each.job is not job]

    def next(self, pool: ResourcePool, is_ready: Callable[[Job], bool]) -> tuple[Job, Placement] | None:
        """The first that is ready and fits, which leaves the line and holds what it was given."""
        claim: Placement | None = None
        passed_over: list[_Waiting] = []
        unfit: set[Need] = set()  # many may need the same
        for index, each in enumerate(self._waiting):
            if not is_ready(each.job):
                continue
            if each.need not in unfit:
                placement = pool.place(each.job.number, each.need, claim)
                if placement is not None:
                    del self._waiting[index]
                    for other in passed_over:
                        other.num_overtaken += 1
                    return each.job, placement
                unfit.add(each.need)
            passed_over.append(each)
            if claim is None and each.num_overtaken >= MAX_OVERTAKEN:
                claim = pool.claim(each.need)
        return None
