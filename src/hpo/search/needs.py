"""Before the first trial: whether there is room for whatever the search may propose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from omegaconf import DictConfig
from optuna.distributions import FloatDistribution, IntDistribution

from hpo.errors import ConfigError
from hpo.overrides import encode
from hpo.records import TrialSpec, Value
from hpo.resources import is_constant
from hpo.search.stream import Placing
from hpo.search.tree import Parameter, Parameters, SearchSpace


def check_needs(config: DictConfig, launcher: object, space: SearchSpace, values: Mapping[str, Value]) -> None:
    """Raise ConfigError where trials differ in their needs and a value of the space needs more than there is.

    Each choice and both ends of each range are tried, one key at a time; `values` are those that trials have where
    the configured ones are not of the space. Where no trial differs from another the launcher has found out by
    itself.
    """
    if is_constant(config) or not isinstance(launcher, Placing):
        return
    roots = {each.key: values[each.key] for each in space.parameters if each.key in values}
    for tried in _values(space.parameters, {}):
        params = {**roots, **tried}
        spec = TrialSpec(0, fixed=space.fixed, params=params, overrides=(*space.fixed, *encode(params)))
        problem = launcher.problem(spec)
        if problem is not None:
            raise ConfigError(f"{problem}\n(with {' '.join(encode(tried))})")


def _values(parameters: Parameters, above: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    for each in parameters:
        for value in _samples(each):
            here = {**above, each.key: value}
            yield here
            yield from _values(each.branches.get(value, ()), here)


def _samples(parameter: Parameter) -> tuple[Value, ...]:
    kind = parameter.distribution
    return (kind.low, kind.high) if isinstance(kind, IntDistribution | FloatDistribution) else parameter.options
