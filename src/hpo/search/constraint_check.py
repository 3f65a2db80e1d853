"""Before anything starts: the constraints are read, and tried on proposals of the space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from omegaconf import DictConfig

from hpo.errors import ConfigError
from hpo.records import Value
from hpo.search.constraints import HardConstraints
from hpo.search.plan import Plan
from hpo.search.samples import corners, random_samples
from hpo.search.soft_constraints import SoftConstraints
from hpo.search.tree import SearchSpace

_NUM_TRIED = 20
_NUM_DRAWN = 1_000


@dataclass(frozen=True)
class Constraints:
    """What a proposal must keep to be run, and what a good trial keeps."""

    hard: HardConstraints
    soft: SoftConstraints


def read_constraints(
    config: DictConfig,
    space: SearchSpace,
    planned: Plan,
) -> Constraints:
    """The constraints of the configuration; `planned` is what is tried before the sampler is asked.

    Raises one ConfigError for all that cannot be read, name no key, raise for some proposal of the space, or that
    no proposal keeps.
    """
    problems: list[str] = []
    hard, soft = HardConstraints([]), SoftConstraints([])
    try:
        hard = HardConstraints.of(config.constraints, config, space.keys)
    except ConfigError as error:
        problems.append(str(error))
    try:
        soft = SoftConstraints.of(config.soft_constraints, config, space.keys)
    except ConfigError as error:
        problems.append(str(error))
    if hard or soft:
        drawn = islice(random_samples(space, config.random_seed), _NUM_TRIED)
        samples = [*planned.points, *corners(space), *drawn]
        tried = len(problems)
        for constraints in (hard, soft):
            try:
                constraints.check(samples)
            except ConfigError as error:
                problems.append(str(error))
        if len(problems) == tried:
            problems += _unsatisfiable(hard, config, space, planned)
    if problems:
        raise ConfigError("\n".join(problems))
    return Constraints(hard, soft)


def _unsatisfiable(hard: HardConstraints, config: DictConfig, space: SearchSpace, planned: Plan) -> list[str]:
    """The complaint that no proposal keeps the hard constraints, if that is so."""
    if not hard:
        return []
    samples = []
    for params in _candidates(config, space, planned):
        if hard.broken(params) is None:
            return []
        samples.append(params)
    kind = "planned" if planned.is_all else "planned and random"
    return [
        f"constraints: no trial could be run, since none of {len(samples):,} {kind} proposals keeps them all",
        *hard.tally(samples),
    ]


def _candidates(config: DictConfig, space: SearchSpace, planned: Plan) -> Iterator[Mapping[str, Value]]:
    yield from planned.points
    if not planned.is_all:
        yield from islice(random_samples(space, config.random_seed), _NUM_DRAWN)
