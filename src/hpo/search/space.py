"""The search space: search_space and the command line's sweeps, as Optuna's distributions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.errors import HydraException
from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution

from hpo.errors import SearchSpaceError
from hpo.records import Value
from hpo.resolvers import as_sweep

GRAMMAR = (
    "a sweep is interval(low, high), int(interval(low, high)), tag(log, interval(low, high)), "
    "range(start, stop, step), choice(a, b), or in YAML a list of choices"
)


@dataclass(frozen=True)
class SearchSpace:
    """`distributions` by key; `sweeps` the same as text, `origins` where each came from.

    `fixed` are the command line's other overrides, `pinned` those of them that took a key out of the space.
    """

    distributions: Mapping[str, BaseDistribution]
    sweeps: Mapping[str, str]
    origins: Mapping[str, str]
    fixed: tuple[str, ...]
    pinned: tuple[str, ...]


def read_space(config: DictConfig, arguments: Iterable[str], loader: ConfigLoader) -> SearchSpace:
    """The space of `config.search_space` and the command line. Raises SearchSpaceError for a malformed one.

    A sweep on the command line adds a key or replaces it; a plain value pins it.
    """
    parser = OverridesParser.create(config_loader=loader)
    distributions: dict[str, BaseDistribution] = {}
    sweeps: dict[str, str] = {}
    origins: dict[str, str] = {}
    for key, value in _entries(config).items():
        origin = f"search_space: {key}: {value}"
        if OmegaConf.is_dict(value):
            raise SearchSpaceError(f"{origin}\nis a mapping; {GRAMMAR}")
        text = as_sweep(value)
        override = _parse(parser, f"{key}={text}", origin)
        if not override.is_sweep_override():
            raise SearchSpaceError(f"{origin}\nis one value, not a sweep; {GRAMMAR}")
        distributions[key] = _distribution(override, origin)
        sweeps[key], origins[key] = text, origin
    fixed, pinned = [], []
    for argument in arguments:
        override = _parse(parser, argument, argument)
        key = override.get_key_element()
        if override.is_sweep_override():
            distributions[key] = _distribution(override, argument)
            sweeps[key], origins[key] = override.get_value_string(), f"command line: {argument}"
            continue
        fixed.append(argument)
        if not override.is_delete() and distributions.pop(key, None) is not None:
            pinned.append(argument)
            del sweeps[key], origins[key]
    return SearchSpace(distributions, sweeps, origins, tuple(fixed), tuple(pinned))


def _entries(config: DictConfig) -> dict[str, Any]:
    space = config.search_space
    if space is None:
        return {}
    if not OmegaConf.is_dict(space):
        raise SearchSpaceError(f"search_space must map keys to sweeps, but is {space!r}")
    return {str(key): space[key] for key in space}


def _parse(parser: OverridesParser, text: str, origin: str) -> Override:
    try:
        return parser.parse_override(text)
    except HydraException as error:
        first_line = str(error).splitlines()[0]
        raise SearchSpaceError(f"{origin}\ncannot be read: {first_line}; {GRAMMAR}") from error


def _distribution(override: Override, origin: str) -> BaseDistribution:
    """The package's own conversion, but for choices, which keep their types here."""
    try:
        value = override.value()
        if isinstance(value, ChoiceSweep):
            return CategoricalDistribution([_choice(item, origin) for item in value.list])
        distribution = create_optuna_distribution_from_override(override)
    except (ValueError, AssertionError, HydraException) as error:
        raise SearchSpaceError(f"{origin}\nis not a valid range: {error}") from error
    assert isinstance(distribution, BaseDistribution)
    return distribution


def _choice(item: Any, origin: str) -> Value:
    value = item.text if isinstance(item, QuotedString) else item
    if value is not None and not isinstance(value, bool | int | float | str):
        raise SearchSpaceError(
            f"{origin}\nhas the choice {value!r}; a choice is a number, a string, a boolean or null"
        )
    return value
