"""What a search goes by, all of it read and checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from omegaconf import DictConfig
from optuna.pruners import BasePruner

from hpo.objectives import Objective
from hpo.search.constraint_check import Constraints
from hpo.search.plan import Plan
from hpo.search.points import num_points
from hpo.search.proposals import Proposals
from hpo.search.pruner import said_of
from hpo.search.sampler import SamplerChoice
from hpo.search.samples import random_samples
from hpo.search.study import Study, state_of
from hpo.search.tree import SearchSpace
from hpo.search.warm_start import WarmStart, is_warm
from hpo.stores import Place


@dataclass(frozen=True)
class Method:
    """A search that runs and one that is only shown go by the same."""

    space: SearchSpace
    choice: SamplerChoice
    planned: Plan
    constraints: Constraints
    warm: WarmStart = field(default_factory=WarmStart)
    pruner: BasePruner | None = None

    def study(
        self,
        objectives: tuple[Objective, ...],
        where: Place | None = None,
        name: str = "hpo",
        timeout_s: float = 0.0,
    ) -> Study:
        """A new study, empty; see `Study`."""
        study = Study(self.choice.sampler_for, self.space, objectives, where, name, self.pruner, timeout_s)
        study.note_sampler(self.choice.name)
        return study

    def proposals(self, study: Study, config: DictConfig) -> Proposals:
        """The proposals of a study, which gets the trials that the search starts from when it is new."""
        proposals = Proposals(
            study,
            self.planned.points,
            config.duplicates,
            is_all=self.planned.is_all,
            broken=self.constraints.hard.broken,
            drawn=lambda number: random_samples(self.space, number),
            num_points=num_points(self.space) if self.space.parameters else None,
        )
        if not study.trials:
            study.add(self.warm.trials)
        for trial in study.trials:
            if is_warm(trial):
                proposals.known(study.proposal(trial), trial.values or ())
            else:
                proposals.taken_up(study.proposal(trial), state_of(trial), trial.values or ())
        return proposals

    def said(self, total_trials: int, num_replicates: int) -> Iterator[str]:
        """What the user is told before the first trial."""
        for argument in self.space.pinned:
            yield f"{argument}: pinned by the command line, it leaves the search space"
        if not self.space.parameters and total_trials > 1:
            yield f"nothing is searched: all {total_trials} trials have the configured values"
        yield from self.planned.said
        of_pruner = said_of(self.pruner, num_replicates)
        if of_pruner is not None:
            yield of_pruner
        if self.warm.said is not None:
            yield self.warm.said
        if self.constraints.soft and not self.choice.heeds_constraints:
            name = self.choice.name
            yield f"{name} proposes without regard to soft_constraints; what breaks one is never the best"
