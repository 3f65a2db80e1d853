"""The study: proposes trials from memory, and keeps everything on disk as well."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner, WilcoxonPruner
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpo.config import Direction
from hpo.objectives import Objective
from hpo.records import State, Value
from hpo.search.sampler import SamplerFor, inherit
from hpo.search.study_file import StudyFile
from hpo.search.tree import SearchSpace
from hpo.stores import Place

_OPTUNA_STATE = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED_POOR_PERFORMANCE: TrialState.PRUNED,
    State.FAIL: TrialState.FAIL,
}
_STATE = {kind: state for state, kind in _OPTUNA_STATE.items()}
_DIRECTION = {Direction.min: StudyDirection.MINIMIZE, Direction.max: StudyDirection.MAXIMIZE}
_OWN_STATE = "state"
_METRIC_NAMES = "study:metric_names"
_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Proposal:
    """A trial that the sampler proposes: its number, and typed values by the keys that they are for."""

    number: int
    params: Mapping[str, Value]


class Study:
    """Asks, prunes and tells in memory, where it takes milliseconds; `where=None` keeps nothing. A server
    there may be away for `timeout_s` seconds.

    A step of an intermediate value is the count of the trial's reports, whatever the trial calls it: the first
    evaluation of every trial is step 1, also where their batch sizes differ.
    """

    def __init__(
        self,
        sampler_for: SamplerFor,
        space: SearchSpace,
        objectives: Sequence[Objective],
        where: Place | None = None,
        name: str = "hpo",
        pruner: BasePruner | None = None,
        timeout_s: float = 0.0,
    ) -> None:
        # what Optuna logs goes to mp.log, which listens to its logger
        optuna.logging.disable_default_handler()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._objectives = objectives
        self._sampler_for = sampler_for
        self._memory = InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._memory,
            sampler=sampler_for(0),
            pruner=pruner or NopPruner(),
            study_name=name,
            directions=[_DIRECTION[objective.direction] for objective in objectives],
        )
        # read by Optuna's plots and optuna-dashboard
        self._memory.set_study_system_attr(
            self._study._study_id, _METRIC_NAMES, [objective.name for objective in objectives]
        )
        self._trials: dict[int, optuna.Trial] = {}
        self._known_attributes: dict[int, frozenset[str]] = {}
        # what proposed before, where that was another one
        self.earlier_sampler: str | None = None
        self._file = StudyFile(where, name, self._study.directions, timeout_s) if where else None
        if self._file:
            self._take_up(self._file)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials so far, by number: those that an earlier search left, and this one's."""
        return self._study.get_trials(deepcopy=False)

    def proposal(self, trial: FrozenTrial) -> Proposal:
        """What a trial was proposed as."""
        return Proposal(trial.number, self._space.params(trial.params))

    def note_sampler(self, name: str) -> None:
        """Keep what proposes from now on: what trials can tell depends on whether it follows their results."""
        if self._file:
            self.earlier_sampler = self._file.note_sampler(name)

    def canonical(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """Values by key, some of which may be missing, as a trial's params would have them."""
        return self._space.params(self._space.names(params))

    def rewind(self, number: int, values: Sequence[float]) -> None:
        """Make `values` all that a trial has reported; on disk when this returns."""
        frozen = self._memory.get_trial(self._trials[number]._trial_id)
        frozen.intermediate_values.clear()
        if len(self._objectives) == 1:
            frozen.intermediate_values.update(enumerate(values, start=1))
        if self._file:
            self._file.rewind(frozen)

    def _take_up(self, file: StudyFile) -> None:
        """Know what an earlier search left, as of this space; trials that have no end yet can be told of."""
        for name, value in file.attributes.items():
            self._memory.set_study_system_attr(self._study._study_id, name, value)
        kinds = self._space.distributions
        widened: set[str] = set()
        sampler, self._study.sampler = self._study.sampler, RandomSampler()  # none that would propose
        for trial in file.found:
            widened |= {name for name, kind in trial.distributions.items() if kinds.get(name, kind) != kind}
            trial.distributions = {name: kinds.get(name, kind) for name, kind in trial.distributions.items()}
            self._study.add_trial(trial)
            frozen = self.trials[-1]
            if not frozen.state.is_finished():
                self._trials[frozen.number] = optuna.Trial(self._study, frozen._trial_id)
                self._known_attributes[frozen.number] = frozenset(frozen.system_attrs)
        self._study.sampler = sampler
        for name in widened:
            file.widen(name, kinds[name])

    @property
    def num_proposed(self) -> int:
        """How many trials have been proposed so far, and so the number of the next one."""
        return len(self.trials)

    @property
    def compares_replicates(self) -> bool:
        """Whether the pruner judges a trial by its replicates, which are its steps, and not by evaluations."""
        return isinstance(self._study.pruner, WilcoxonPruner)

    def add(self, trials: Iterable[FrozenTrial]) -> None:
        """Add trials of an earlier study, which are on disk when this returns."""
        for trial in trials:
            self._study.add_trial(trial)
            frozen = self.trials[-1]
            if self._file:
                self._file.add(frozen)
                for step, value in frozen.intermediate_values.items():
                    self._file.report(frozen.number, step, value)
                self._file.end(frozen, frozenset(frozen.system_attrs))

    def ask(self, planned: Mapping[str, Value] | None = None, *, at_random: bool = False) -> Proposal:
        """The next proposal, which is on disk when this returns; what `planned` gives is taken from there."""
        number = self.num_proposed
        sampler = RandomSampler(seed=number) if at_random else self._sampler_for(number)
        inherit(sampler, self._study.sampler)
        self._study.sampler = sampler
        if planned is not None:
            self._study.enqueue_trial(self._space.names(planned))
        trial = self._study.ask()
        params = self._space.suggest(trial)
        frozen = self._memory.get_trial(trial._trial_id)
        self._trials[trial.number] = trial
        self._known_attributes[trial.number] = frozenset(frozen.system_attrs)
        if self._file:
            self._file.copy_attributes(self._memory, self._study._study_id)
            self._file.add(frozen)
        return Proposal(trial.number, params)

    def report(self, number: int, value: float, step: int | None = None) -> bool:
        """Note what the first objective was, and say whether the pruner gives the trial up.

        `step` is the count of the trial's reports unless given.

        A study of several objectives takes no reports. They are on disk after the next `flush`.
        """
        if len(self._objectives) > 1:
            return False
        trial_id = self._trials[number]._trial_id
        frozen = self._memory.get_trial(trial_id)
        # in place: Optuna's own way copies all earlier values for each new one
        if step is None:
            step = len(frozen.intermediate_values) + 1
        frozen.intermediate_values[step] = value
        if self._file:
            self._file.report(number, step, value)
        return not isinstance(self._study.pruner, NopPruner) and self._study.pruner.prune(self._study, frozen)

    def flush(self) -> None:
        """Write the reports that wait."""
        if self._file:
            self._file.flush()

    def tell(
        self,
        number: int,
        state: State,
        values: Sequence[float],
        violations: Mapping[str, float] = _NONE,
        attributes: Mapping[str, Any] = _NONE,
    ) -> None:
        """End a trial, with user attributes; on disk when this returns. `values` and `violations` count for
        COMPLETE alone.

        A violation says by how much a soft constraint, as it is written, is broken; of one that is kept it is at
        most 0. A trial that waits to be continued stays as it is.
        """
        if not state.is_finished:
            self.flush()
            return
        trial = self._trials.pop(number)
        for constraint, violation in violations.items():
            trial.set_constraint(constraint, violation)
        for key, value in attributes.items():
            trial.set_user_attr(key, value)
        told = list(values) if state is State.COMPLETE else None
        with _without_complaints_about_constraints():
            self._study.tell(trial, told, state=_OPTUNA_STATE[state])
        frozen = self._memory.get_trial(trial._trial_id)
        if self._file:
            self._file.end(frozen, self._known_attributes.pop(number))
            self._file.copy_attributes(self._memory, self._study._study_id)

    def reject(
        self,
        number: int,
        state: State,
        values: Sequence[float],
        attributes: Mapping[str, Value | list[float]],
        violations: Mapping[str, float] = _NONE,
    ) -> None:
        """End a proposal that is never run, as pruned, or as complete with `values` that are known.

        Its user attributes say so: `state` is its own, and `attributes`.
        """
        told_as = State.COMPLETE if values else State.PRUNED_POOR_PERFORMANCE
        self.tell(number, told_as, values, violations, {_OWN_STATE: state.value} | dict(attributes))

    def close(self) -> None:
        if self._file:
            self._file.close()


def state_of(trial: FrozenTrial) -> State:
    """The state of a trial as its study tells it; WAITING of one that has not come to its end."""
    if not trial.state.is_finished():
        return State.WAITING
    return State(trial.user_attrs.get(_OWN_STATE, _STATE[trial.state]))


@contextmanager
def _without_complaints_about_constraints() -> Iterator[None]:
    """That a sampler does not use them is said once, before the search."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Constraints have been set")
        yield
