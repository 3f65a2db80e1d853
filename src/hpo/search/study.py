"""The study: proposes trials from memory, and keeps everything on disk as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpo.config import Direction
from hpo.objectives import Objective
from hpo.records import State, Value
from hpo.search.study_file import StudyFile

_OPTUNA_STATE = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED_POOR_PERFORMANCE: TrialState.PRUNED,
    State.FAIL: TrialState.FAIL,
}
_DIRECTION = {Direction.min: StudyDirection.MINIMIZE, Direction.max: StudyDirection.MAXIMIZE}
_METRIC_NAMES = "study:metric_names"


@dataclass(frozen=True)
class Proposal:
    """A trial that the sampler proposes: its number and typed values."""

    number: int
    params: Mapping[str, Value]


class Study:
    """Asks and tells in memory, where it takes milliseconds; `path=None` keeps nothing."""

    def __init__(
        self,
        sampler: BaseSampler,
        distributions: Mapping[str, BaseDistribution],
        objectives: Sequence[Objective],
        path: Path | None = None,
        name: str = "hpo",
    ) -> None:
        # what Optuna logs goes to mp.log, which listens to its logger
        optuna.logging.disable_default_handler()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = dict(distributions)
        self._objectives = objectives
        self._memory = InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._memory,
            sampler=sampler,
            study_name=name,
            directions=[_DIRECTION[objective.direction] for objective in objectives],
        )
        # read by Optuna's plots and optuna-dashboard
        self._memory.set_study_system_attr(
            self._study._study_id, _METRIC_NAMES, [objective.name for objective in objectives]
        )
        self._trials: dict[int, optuna.Trial] = {}
        self._known_attributes: dict[int, frozenset[str]] = {}
        self._file = StudyFile(path, name, self._study.directions) if path else None

    def ask(self) -> Proposal:
        """The next proposal, which is on disk when this returns."""
        trial = self._study.ask(self._distributions)
        frozen = self._memory.get_trial(trial._trial_id)
        self._trials[trial.number] = trial
        self._known_attributes[trial.number] = frozenset(frozen.system_attrs)
        if self._file:
            self._file.copy_attributes(self._memory, self._study._study_id)
            self._file.add(frozen)
        return Proposal(trial.number, dict(frozen.params))

    def report(self, number: int, step: int, value: float) -> None:
        """Note what the first objective was at a step; a study of several objectives takes none."""
        if len(self._objectives) == 1:
            self._trials[number].report(value, step)

    def tell(self, number: int, state: State, values: Sequence[float]) -> None:
        """End a trial; on disk when this returns. `values` count for COMPLETE alone."""
        trial = self._trials.pop(number)
        try:
            self._study.tell(trial, list(values) if state is State.COMPLETE else None, state=_OPTUNA_STATE[state])
        except RuntimeError:
            # a GridSampler stops the study at its last point, which Optuna allows inside optimize() only
            if not self._memory.get_trial(trial._trial_id).state.is_finished():
                raise
        frozen = self._memory.get_trial(trial._trial_id)
        if self._file:
            self._file.end(frozen, self._known_attributes.pop(number))
            self._file.copy_attributes(self._memory, self._study._study_id)

    def close(self) -> None:
        if self._file:
            self._file.close()
