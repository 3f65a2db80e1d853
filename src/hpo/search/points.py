"""What is known before the first trial: the points of a grid, and an ablation around the configured values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations, islice, product
from random import Random
from typing import Any

from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.errors import ConfigError, SearchSpaceError
from hpo.records import Value
from hpo.search.spelled import spelled_values
from hpo.search.tree import Parameter, Parameters, SearchSpace, walk

Point = dict[str, Value]
DefaultsOf = Callable[[Mapping[str, Value]], Callable[[str], Any]]
"""For the options that are chosen: the configured value of a key."""

_MAX_POINTS = 1_000_000
_MAX_WHOLE = 10_000


class Bins:
    """How many values of a range stand for it: `grid_bins`, a number for all ranges or one for each key."""

    def __init__(self, node: Any, space: SearchSpace) -> None:
        """Raises ConfigError for what is no number of at least 2, and for a key that is no range of the space."""
        plain: Any = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
        self._of_key: dict[str, int] = {}
        self._of_all: int | None = None
        if isinstance(plain, dict):
            self._of_key = {str(key): _checked(count, f"grid_bins.{key}") for key, count in plain.items()}
            ranges = {each.key for each in walk(space.parameters) if not each.options}
            for key in self._of_key.keys() - ranges:
                raise ConfigError(
                    f"grid_bins: {key} is no range of the search space; there are: {_listed(ranges)}"
                )
        elif plain is not None:
            self._of_all = _checked(plain, "grid_bins")

    def values(self, parameter: Parameter) -> list[Value]:
        """The values that stand for a parameter, lowest first. Raises SearchSpaceError where none are given."""
        kind = parameter.distribution
        if kind is None or isinstance(kind, CategoricalDistribution):
            return list(parameter.options)
        assert isinstance(kind, FloatDistribution | IntDistribution)
        bins = self._of_key.get(parameter.key, self._of_all)
        if kind.step is not None and (bins is None or not _is_interval(kind)):
            num_steps = math.floor((kind.high - kind.low) / kind.step + 1e-9) + 1
            if num_steps > _MAX_WHOLE:
                raise SearchSpaceError(
                    f"{parameter.origin}\n  has {num_steps} values; say with grid_bins how many are tried"
                )
            found = [kind.low + index * kind.step for index in range(num_steps)]
            return list(dict.fromkeys(parameter.canonical(min(value, kind.high)) for value in found))
        if bins is None:
            raise SearchSpaceError(
                f"{parameter.origin}\n  is a range ({spelled_values(kind)}), not a list of values: say with "
                "grid_bins how many there are, or use range(start, stop, step) or a list of choices"
            )
        return list(dict.fromkeys(_spread(kind, bins)))


def grid(space: SearchSpace, bins: Bins) -> tuple[int, Iterator[Point]]:
    """How many points the grid has, and the points in the order of the space; of the options only what they open.

    Raises SearchSpaceError for a range of which grid_bins does not say enough.
    """
    return _count(space.parameters, bins), _points(space.parameters, bins)


def planned_grid(space: SearchSpace, bins: Bins, total_trials: int, seed: int) -> tuple[int, list[Point]]:
    """How many points the grid has, and those that are tried: all in their order, or as many drawn by the seed."""
    count, points = grid(space, bins)
    if count <= total_trials:
        return count, list(points)
    if count > _MAX_POINTS:
        raise SearchSpaceError(
            f"the grid has {count} points, more than {_MAX_POINTS}: search fewer keys, or take fewer grid_bins"
        )
    drawn = sorted(Random(seed).sample(range(count), total_trials))
    chosen = iter(drawn)
    wanted, found = next(chosen, None), []
    for index, point in enumerate(islice(points, drawn[-1] + 1)):
        if index == wanted:
            found.append(point)
            wanted = next(chosen, None)
    Random(seed).shuffle(found)
    return count, found


def num_points(space: SearchSpace) -> int | None:
    """How many configurations the space has; None where a range has endless values."""
    return _num_points(space.parameters)


def _num_points(parameters: Parameters) -> int | None:
    total = 1
    for each in parameters:
        kind = each.distribution
        if isinstance(kind, FloatDistribution | IntDistribution):
            if kind.step is None:
                return None
            total *= math.floor((kind.high - kind.low) / kind.step + 1e-9) + 1
            continue
        counts = [_num_points(each.branches.get(option, ())) for option in each.options]
        if None in counts:
            return None
        total *= sum(filter(None, counts))
    return total


def ablation(space: SearchSpace, bins: Bins, defaults_of: DefaultsOf, *, pairs: bool) -> list[Point]:
    """The configured values, then each of them changed to each other value alone; with `pairs` also two at a time.

    Where another option opens a subspace, the keys in it have the values that are configured for that option.
    Raises SearchSpaceError when a configured value is outside the space.
    """
    base = _around(space, {}, defaults_of)
    factors = [each for each, _ in space.chosen(lambda each: (base[each.key],)) if each.distribution is not None]
    changes = [[(each.key, value) for value in bins.values(each) if value != base[each.key]] for each in factors]
    found = [base]
    found += [_around(space, dict([change]), defaults_of) for factor in changes for change in factor]
    if pairs:
        for one, other in combinations(changes, 2):
            found += [_around(space, dict(both), defaults_of) for both in product(one, other)]
    return list({tuple(map(repr, point.items())): point for point in found}.values())


def _around(space: SearchSpace, changed: Point, defaults_of: DefaultsOf) -> Point:
    """The configured values, but for what is changed."""
    taken: Point = {}
    of_config = defaults_of(taken)

    def values_of(each: Parameter) -> tuple[Value, ...]:
        nonlocal of_config
        if each.key in changed:
            value = taken[each.key] = changed[each.key]
            if each.branches.get(value):
                of_config = defaults_of(taken)
            return (value,)
        value = of_config(each.key)
        try:
            return (each.canonical(value),)
        except ValueError:
            raise SearchSpaceError(
                f"{each.origin}\n  an ablation starts from the configured values, and {each.key}={value} is "
                f"outside the search space: {each.allowed}"
            ) from None

    return {each.key: value for each, value in space.chosen(values_of)}


def _points(parameters: Parameters, bins: Bins) -> Iterator[Point]:
    if not parameters:
        yield {}
        return
    first, *rest = parameters
    for value in bins.values(first):
        for below in _points(first.branches.get(value, ()), bins):
            for others in _points(tuple(rest), bins):
                yield {first.key: value} | below | others


def _count(parameters: Parameters, bins: Bins) -> int:
    return math.prod(
        sum(_count(each.branches.get(value, ()), bins) for value in bins.values(each)) for each in parameters
    )


def _is_interval(kind: FloatDistribution | IntDistribution) -> bool:
    return isinstance(kind, IntDistribution) and kind.step == 1


def _spread(kind: FloatDistribution | IntDistribution, count: int) -> Iterator[Value]:
    for index in range(count):
        part = index / (count - 1)
        if kind.log:
            value = math.exp(math.log(kind.low) * (1 - part) + math.log(kind.high) * part)
        else:
            value = kind.low * (1 - part) + kind.high * part
        # without the last bits, which are the logarithm's
        value = min(max(float(f"{value:.12g}"), kind.low), kind.high)
        yield round(value) if isinstance(kind, IntDistribution) else value


def _checked(count: Any, key: str) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 2:
        raise ConfigError(f"{key}={count} must be a whole number of at least 2")
    return count


def _listed(keys: set[str]) -> str:
    return ", ".join(sorted(keys)) or "none"
