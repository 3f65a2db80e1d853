"""Reads the search space: search_space of the configuration, and the command line's sweeps and values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.errors import HydraException
from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from hpo.errors import SearchSpaceError
from hpo.overrides import encode
from hpo.records import Value
from hpo.search.origin import file_of_entry
from hpo.search.tree import Parameter, Parameters, SearchSpace, conflicts, named, walk

_TAGS = frozenset(("log",))
GRAMMAR = (
    "a sweep is interval(low, high), int(interval(low, high)), tag(log, interval(low, high)), "
    "range(start, stop, step), choice(a, b), or in YAML a list of choices"
)
_OPTION_GRAMMAR = "an option is followed by the keys that it opens, each with its sweep or value, or by nothing"

Composes = Callable[[Sequence[str]], bool]


def read_space(
    config: DictConfig, arguments: Iterable[str], loader: ConfigLoader
) -> tuple[SearchSpace, list[str]]:
    """The space of `config.search_space` and the command line, and what could not be read of it.

    A sweep on the command line adds a key or replaces it; a plain value pins it. Where only some options of a
    choice have the key, the value is set for those alone.
    """
    return _Reader(config, loader).read(arguments)


class _Reader:
    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        self._config = config
        self._loader = loader
        self._parser = OverridesParser.create(config_loader=loader)
        self._problems: list[str] = []

    def read(self, arguments: Iterable[str]) -> tuple[SearchSpace, list[str]]:
        parameters = self._of_the_configuration()
        fixed: list[str] = []
        pinned: list[str] = []
        for argument in arguments:
            try:
                override = _parse(self._parser, argument, argument)
                parameters = self._with_argument(parameters, override, argument, fixed, pinned)
            except SearchSpaceError as error:
                self._problems.append(str(error))
        self._problems += conflicts(parameters)
        return SearchSpace(named(parameters), tuple(fixed), tuple(pinned)), self._problems

    def _of_the_configuration(self) -> Parameters:
        space = self._config.search_space
        if space is None:
            return ()
        if not OmegaConf.is_dict(space):
            self._problems.append(f"search_space must map keys to sweeps, but is {space!r}")
            return ()
        entries: Any = OmegaConf.to_container(space, resolve=True)
        return self._level(entries, "search_space: ", in_branch=False)

    def _level(self, entries: Mapping[Any, Any], where: str, *, in_branch: bool) -> Parameters:
        parameters = []
        for key, value in entries.items():
            try:
                parameters.append(self._parameter(str(key), value, where, in_branch=in_branch))
            except SearchSpaceError as error:
                self._problems.append(str(error))
        return tuple(parameters)

    def _parameter(self, key: str, value: Any, where: str, *, in_branch: bool) -> Parameter:
        file = file_of_entry(key, self._config, self._loader)
        tail = f" (in {file})" if file else ""
        if isinstance(value, dict):
            return self._choice_with_branches(key, value, f"{where}{key}: ", tail)
        origin = f"{where}{key}: {value}{tail}"
        if isinstance(value, list):
            # Hydra's grammar has no null in a choice, so a list does not go through it
            return Parameter(key, key, _categorical(value, origin), origin, sweep=value)
        if in_branch and not isinstance(value, str):
            return Parameter(key, key, None, origin, value=_choice(value, origin), sweep=value)
        text = str(value)
        override = _parse(self._parser, f"{key}={text}", origin)
        if override.is_sweep_override():
            return Parameter(key, key, _distribution(override, origin), origin, sweep=text)
        if in_branch:
            return Parameter(key, key, None, origin, value=_choice(override.value(), origin), sweep=text)
        raise SearchSpaceError(f"{origin}\n  is one value, not a sweep; {GRAMMAR}")

    def _choice_with_branches(self, key: str, options: Mapping[Any, Any], where: str, tail: str) -> Parameter:
        origin = f"{where}{', '.join(map(str, options))}{tail}"
        distribution = _categorical(list(options), origin)
        branches = {}
        for option, entries in options.items():
            if entries is not None and not isinstance(entries, dict):
                self._problems.append(f"{where}{option}: {entries}{tail}\n  opens nothing; {_OPTION_GRAMMAR}")
                continue
            branches[option] = self._level(entries or {}, f"{where}{option}: ", in_branch=True)
        return Parameter(key, key, distribution, origin, branches=branches, sweep=list(options))

    def _with_argument(
        self, parameters: Parameters, override: Override, argument: str, fixed: list[str], pinned: list[str]
    ) -> Parameters:
        key = override.get_key_element()
        # +key and ++key name the same key as key
        is_it = _same_key(key)
        is_known = any(is_it(each.key) for each in walk(parameters))
        if override.is_sweep_override():
            origin = f"command line: {argument}"
            new = Parameter(key, key, _distribution(override, argument), origin, sweep=override.get_value_string())
            return _replaced(parameters, new, is_it) if is_known else (*parameters, new)
        if not is_known:
            fixed.append(argument)
            return parameters
        pinned.append(argument)
        if not any(is_it(each.key) for each in parameters):
            value = _choice(override.value(), argument)
            constant = Parameter(
                key, key, None, f"command line: {argument}", value=value, sweep=override.get_value_string()
            )
            return self._pinned_below(parameters, constant, tuple(fixed))
        fixed.append(argument)
        return _without(parameters, override, is_it)

    def _pinned_below(self, parameters: Parameters, constant: Parameter, path: tuple[str, ...]) -> Parameters:
        """The value for each option that has the key: some may have it and not search it."""
        is_it = _same_key(constant.key)
        found = []
        for each in parameters:
            if is_it(each.key):
                found.append(replace(constant, branches=_kept(each.branches, (constant.value,))))
                continue
            if not any(is_it(inner.key) for branch in each.branches.values() for inner in walk(branch)):
                found.append(each)
                continue
            branches = {}
            for option in each.options:
                branch = each.branches.get(option, ())
                here = (*path, *encode({each.key: option}))
                if any(is_it(inner.key) for inner in walk(branch)):
                    branches[option] = self._pinned_below(branch, constant, here)
                elif self._composes((*here, *encode({constant.key: constant.value}))):
                    branches[option] = (*branch, constant)
                else:
                    branches[option] = branch
            found.append(replace(each, branches=branches))
        return tuple(found)

    def _composes(self, overrides: Sequence[str]) -> bool:
        try:
            self._loader.load_sweep_config(self._config, list(overrides))
        except (HydraException, OmegaConfBaseException):
            return False
        return True


def _same_key(key: str) -> Callable[[str], bool]:
    return lambda other: other.lstrip("+") == key.lstrip("+")


def _kept(branches: Mapping[Value, Parameters], options: Sequence[Value]) -> dict[Value, Parameters]:
    return {option: branches[option] for option in options if option in branches}


def _replaced(parameters: Parameters, new: Parameter, is_it: Callable[[str], bool]) -> Parameters:
    """`new` in place of what has its key, wherever that is; an option that stays keeps what it opens."""
    return tuple(
        replace(new, branches=_kept(each.branches, new.options))
        if is_it(each.key)
        else replace(
            each, branches={option: _replaced(branch, new, is_it) for option, branch in each.branches.items()}
        )
        for each in parameters
    )


def _without(parameters: Parameters, override: Override, is_it: Callable[[str], bool]) -> Parameters:
    """What is left when a root has one value: what that opens, if anything."""
    left: list[Parameter] = []
    for each in parameters:
        if not is_it(each.key):
            left.append(each)
        elif each.branches:
            left += each.branches.get(_choice(override.value(), each.origin), ())
    return tuple(left)


def _parse(parser: OverridesParser, text: str, origin: str) -> Override:
    try:
        return parser.parse_override(text)
    except HydraException as error:
        first_line = str(error).splitlines()[0]
        raise SearchSpaceError(f"{origin}\n  cannot be read: {first_line}; {GRAMMAR}") from error


def _distribution(override: Override, origin: str) -> BaseDistribution:
    """The package's own conversion, but for choices, which keep their types here."""
    try:
        value = override.value()
        unknown = set(getattr(value, "tags", ())) - _TAGS
        if unknown:
            raise SearchSpaceError(
                f"{origin}\n  has the tag {', '.join(sorted(unknown))}, which is not known; there is: log"
            )
        if isinstance(value, ChoiceSweep):
            return _categorical(value.list, origin)
        distribution = create_optuna_distribution_from_override(override)
    except (ValueError, AssertionError, HydraException) as error:
        raise SearchSpaceError(f"{origin}\n  is not a valid range: {str(error) or GRAMMAR}") from error
    assert isinstance(distribution, BaseDistribution)
    if isinstance(distribution, FloatDistribution) and not math.isfinite(distribution.high - distribution.low):
        raise SearchSpaceError(f"{origin}\n  is not a valid range: both ends must be finite")
    return distribution


def _categorical(items: Sequence[Any], origin: str) -> CategoricalDistribution:
    if not items:
        raise SearchSpaceError(f"{origin}\n  has no choices; {GRAMMAR}")
    choices = [_choice(item, origin) for item in items]
    for index, choice in enumerate(choices):
        if choice in choices[:index]:
            equal = choices[choices.index(choice)]
            raise SearchSpaceError(
                f"{origin}\n  has the choices {equal!r} and {choice!r}, which are equal to Optuna"
            )
    return CategoricalDistribution(choices)


def _choice(item: Any, origin: str) -> Value:
    value = item.text if isinstance(item, QuotedString) else item
    if value is not None and not isinstance(value, bool | int | float | str):
        raise SearchSpaceError(
            f"{origin}\n  has the choice {value!r}; a choice is a number, a string, a boolean or null"
        )
    return value
