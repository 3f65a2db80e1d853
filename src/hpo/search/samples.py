"""Proposals of a search space that are tried on something before the search, and are no trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from hpo.records import Value
from hpo.search.tree import SearchSpace


def corners(space: SearchSpace) -> Iterator[Mapping[str, Value]]:
    """All parameters at their low end or first choice, and all at their high end or last choice."""
    for end in (0, -1):
        yield next(_drawn(space, _EndSampler(end)))


def random_samples(space: SearchSpace, seed: int) -> Iterator[Mapping[str, Value]]:
    """Random proposals without end."""
    return _drawn(space, RandomSampler(seed=seed))


def _drawn(space: SearchSpace, sampler: BaseSampler) -> Iterator[Mapping[str, Value]]:
    optuna.logging.disable_default_handler()
    study = optuna.create_study(sampler=sampler)
    while True:
        yield space.suggest(study.ask())


class _EndSampler(BaseSampler):
    """Proposes one end of each range: 0 is the low one, -1 the high one."""

    def __init__(self, end: int) -> None:
        self._end = end

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if isinstance(param_distribution, CategoricalDistribution):
            return param_distribution.choices[self._end]
        assert isinstance(param_distribution, IntDistribution | FloatDistribution)
        return (param_distribution.low, param_distribution.high)[self._end]
