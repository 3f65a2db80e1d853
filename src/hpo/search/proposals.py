"""What is tried next: what was planned first, then what the sampler proposes; nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from hpo.config import Duplicates
from hpo.records import Ended, State, Value
from hpo.search.study import Proposal, Study

_MAX_REJECTED_IN_A_ROW = 100
# then the values are drawn at random: a sampler that is sure of itself proposes the same for ever
_MAX_REJECTED_OF_THE_SAMPLER = 20
# and so many of them are looked through, in memory, for one that keeps the constraints
_MAX_DRAWN = 100

Broken = Callable[[Mapping[str, Value]], str | None]
"""The constraint that a proposal breaks, as its user wrote it; None when it keeps them all."""


Drawn = Callable[[int], Iterable[Mapping[str, Value]]]
"""Random values for the trial of a number, without end."""


@dataclass(frozen=True)
class Rejected:
    """A proposal that is not run, and why."""

    proposal: Proposal
    state: State
    reason: str


class Proposals:
    """The proposals of one search, in their order.

    `planned` are values, by key, that are tried before the sampler is asked; it is not where they are all. What
    `broken` finds to break a constraint is not run; where too much does, `drawn` gives values to choose from.
    `num_points` is how many configurations the space has, where they can be counted.
    """

    def __init__(
        self,
        study: Study,
        planned: Iterable[Mapping[str, Value]],
        duplicates: Duplicates,
        *,
        is_all: bool = False,
        broken: Broken = lambda params: None,
        drawn: Drawn = lambda number: (),
        num_points: int | None = None,
    ) -> None:
        self._study = study
        self._is_all = is_all
        self._broken = broken
        self._drawn = drawn
        self._planned = iter(planned)
        self._duplicates = duplicates
        self._num_points = num_points
        self._invalid: set[frozenset[tuple[str, str]]] = set()
        self._known: dict[frozenset[tuple[str, str]], int] = {}
        self._keys: dict[int, frozenset[tuple[str, str]]] = {}
        self._values: dict[int, tuple[float, ...]] = {}
        self._violations: dict[int, Mapping[str, float]] = {}
        self._tried: set[frozenset[tuple[str, str]]] = set()
        self._num_in_a_row = 0
        self._any_invalid = False

    @property
    def exhausted(self) -> str | None:
        """Why nothing new is to be expected any more."""
        if self._is_all:
            return None
        if self._has_all_points and not self._keys:
            return f"all {self._num_points} configurations of the search space are tried: it is exhausted"
        if self._num_in_a_row < _MAX_REJECTED_IN_A_ROW:
            return None
        or_invalid = " or broke a constraint" if self._any_invalid else ""
        return (
            f"the last {_MAX_REJECTED_IN_A_ROW} proposals were not new{or_invalid}: the search space is exhausted"
        )

    @property
    def must_wait(self) -> bool:
        """Whether something new can be proposed only when a trial that runs should fail."""
        return not self._is_all and self._has_all_points and bool(self._keys)

    @property
    def _has_all_points(self) -> bool:
        if self._num_points is None or self._duplicates is Duplicates.run:
            return False
        return len(self._known) + len(self._invalid) >= self._num_points

    def next(self) -> Proposal | Rejected | None:
        """The next trial, or a proposal that the study has been told of as rejected; None at the plan's end."""
        planned = next((point for point in self._planned if not self._was_tried(point)), None)
        if planned is None and self._is_all:
            return None
        at_random = self._num_in_a_row >= _MAX_REJECTED_OF_THE_SAMPLER
        found = self._found() if at_random and self._any_invalid and planned is None else None
        proposal = self._study.ask(found if planned is None else planned, at_random=at_random)
        # a list of configurations may hold any number that are not run, and the space is none the smaller
        counted = planned is None
        broken = self._broken(proposal.params)
        if broken is not None:
            self._num_in_a_row += counted
            self._any_invalid = True
            self._invalid.add(_key(proposal.params))
            self._study.reject(proposal.number, State.PRUNED_INVALID, (), {"constraint": broken})
            return Rejected(proposal, State.PRUNED_INVALID, f"breaks the constraint {broken}")
        key = _key(proposal.params)
        twin = self._known.get(key)
        # without a search space every trial has the configured values, as the user wants it
        if twin is None or not key or self._duplicates is Duplicates.run:
            self._num_in_a_row = 0
            self._known[key] = proposal.number
            self._keys[proposal.number] = key
            return proposal
        self._num_in_a_row += counted
        values = self._values.get(twin, ()) if self._duplicates is Duplicates.reuse else ()
        violations = self._violations.get(twin, {}) if values else {}
        attributes = {"duplicate_of": twin}
        self._study.reject(proposal.number, State.PRUNED_DUPLICATE, values, attributes, violations)
        return Rejected(proposal, State.PRUNED_DUPLICATE, f"equal to trial {twin}")

    def _was_tried(self, planned: Mapping[str, Value]) -> bool:
        """Whether an earlier search of this experiment has had a trial of these values; some may be missing."""
        if not self._tried:
            return False
        key = _key(self._study.canonical(planned))
        return key in self._tried or (not self._is_all and any(key <= tried for tried in self._tried))

    def _found(self) -> Mapping[str, Value] | None:
        """Random values that keep the constraints, where there are some among those drawn."""
        drawn = islice(self._drawn(self._study.num_proposed), _MAX_DRAWN)
        return next((params for params in drawn if self._broken(params) is None), None)

    def known(self, proposal: Proposal, values: Sequence[float]) -> None:
        """A trial of an earlier study: what equals it, and was complete, is a duplicate."""
        if values:
            key = _key(proposal.params)
            self._known.setdefault(key, proposal.number)
            self._values.setdefault(proposal.number, tuple(values))

    def taken_up(self, proposal: Proposal, state: State, values: Sequence[float]) -> None:
        """A trial of an earlier search of this experiment: its planned values are not tried again."""
        key = _key(proposal.params)
        self._tried.add(key)
        if state is State.COMPLETE:
            self.known(proposal, values)
        elif state in (State.PRUNED_POOR_PERFORMANCE, State.WAITING):
            self._known.setdefault(key, proposal.number)
        if state is State.WAITING:
            self._keys[proposal.number] = key

    def heard(self, ended: Ended, values: tuple[float, ...], violations: Mapping[str, float]) -> None:
        """A trial came to its end: one that failed may be proposed again."""
        if not ended.state.is_finished:
            return
        key = self._keys.pop(ended.number, None)
        if ended.state is State.COMPLETE:
            self._values[ended.number] = values
            self._violations[ended.number] = violations
        elif ended.state is State.FAIL and key is not None and self._known.get(key) == ended.number:
            del self._known[key]


def _key(params: Mapping[str, Value]) -> frozenset[tuple[str, str]]:
    return frozenset((name, repr(value)) for name, value in params.items())
