"""The search space: search_space and the command line's sweeps, as Optuna's distributions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.errors import HydraException
from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from hpo.errors import SearchSpaceError
from hpo.records import Value

_TAGS = frozenset(("log",))
GRAMMAR = (
    "a sweep is interval(low, high), int(interval(low, high)), tag(log, interval(low, high)), "
    "range(start, stop, step), choice(a, b), or in YAML a list of choices"
)


@dataclass(frozen=True)
class SearchSpace:
    """`distributions` by key; `sweeps` the same as the user wrote them, `origins` where each came from.

    `fixed` are the command line's other overrides, `pinned` those of them that took a key out of the space.
    """

    distributions: Mapping[str, BaseDistribution]
    sweeps: Mapping[str, Any]
    origins: Mapping[str, str]
    fixed: tuple[str, ...]
    pinned: tuple[str, ...]


def read_space(config: DictConfig, arguments: Iterable[str], loader: ConfigLoader) -> SearchSpace:
    """The space of `config.search_space` and the command line. Raises SearchSpaceError for a malformed one.

    A sweep on the command line adds a key or replaces it; a plain value pins it.
    """
    parser = OverridesParser.create(config_loader=loader)
    distributions: dict[str, BaseDistribution] = {}
    sweeps: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, value in _entries(config).items():
        origin = f"search_space: {key}: {value}"
        if OmegaConf.is_dict(value):
            raise SearchSpaceError(f"{origin}\nis a mapping; {GRAMMAR}")
        if OmegaConf.is_list(value):
            # Hydra's grammar has no null in a choice, so a list does not go through it
            sweeps[key], origins[key] = OmegaConf.to_container(value, resolve=True), origin
            distributions[key] = _categorical(sweeps[key], origin)
            continue
        text = str(value)
        override = _parse(parser, f"{key}={text}", origin)
        if not override.is_sweep_override():
            raise SearchSpaceError(f"{origin}\nis one value, not a sweep; {GRAMMAR}")
        distributions[key] = _distribution(override, origin)
        sweeps[key], origins[key] = text, origin
    fixed, pinned = [], []
    for argument in arguments:
        override = _parse(parser, argument, argument)
        key = override.get_key_element()
        # +key and ++key name the same key as key
        known = next((name for name in distributions if name.lstrip("+") == key.lstrip("+")), None)
        is_sweep = override.is_sweep_override()
        if known is not None and not (is_sweep and known == key):
            del distributions[known], sweeps[known], origins[known]
        if is_sweep:
            distributions[key] = _distribution(override, argument)
            sweeps[key], origins[key] = override.get_value_string(), f"command line: {argument}"
            continue
        fixed.append(argument)
        if known is not None:
            pinned.append(argument)
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
        unknown = set(getattr(value, "tags", ())) - _TAGS
        if unknown:
            raise SearchSpaceError(
                f"{origin}\nhas the tag {', '.join(sorted(unknown))}, which is not known; there is: log"
            )
        if isinstance(value, ChoiceSweep):
            return _categorical(value.list, origin)
        distribution = create_optuna_distribution_from_override(override)
    except (ValueError, AssertionError, HydraException) as error:
        raise SearchSpaceError(f"{origin}\nis not a valid range: {str(error) or GRAMMAR}") from error
    assert isinstance(distribution, BaseDistribution)
    if isinstance(distribution, FloatDistribution) and not math.isfinite(distribution.high - distribution.low):
        raise SearchSpaceError(f"{origin}\nis not a valid range: both ends must be finite")
    return distribution


def _categorical(items: Sequence[Any], origin: str) -> CategoricalDistribution:
    if not items:
        raise SearchSpaceError(f"{origin}\nhas no choices; {GRAMMAR}")
    choices = [_choice(item, origin) for item in items]
    for index, choice in enumerate(choices):
        if choice in choices[:index]:
            equal = choices[choices.index(choice)]
            raise SearchSpaceError(
                f"{origin}\nhas the choices {equal!r} and {choice!r}, which are equal to Optuna"
            )
    return CategoricalDistribution(choices)


def _choice(item: Any, origin: str) -> Value:
    value = item.text if isinstance(item, QuotedString) else item
    if value is not None and not isinstance(value, bool | int | float | str):
        raise SearchSpaceError(
            f"{origin}\nhas the choice {value!r}; a choice is a number, a string, a boolean or null"
        )
    return value
