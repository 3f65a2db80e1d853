"""The search space as a tree: parameters, and choices whose options open further ones."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.errors import SearchSpaceError
from hpo.overrides import encode_value
from hpo.records import Value
from hpo.search.spelled import spelled_values


@dataclass(frozen=True)
class Parameter:
    """A key of the configuration that trials vary, or that has one `value` where `distribution` is None.

    `name` is what the study calls it, `sweep` what the user wrote, `origin` where. `branches` are the
    parameters that exist only where this one has that value.
    """

    key: str
    name: str
    distribution: BaseDistribution | None
    origin: str
    value: Value = None
    branches: Mapping[Value, tuple[Parameter, ...]] = field(default_factory=dict)
    sweep: Any = None

    @property
    def options(self) -> tuple[Value, ...]:
        """Its choices, or the one value that it has; nothing for a range."""
        if self.distribution is None:
            return (self.value,)
        return tuple(getattr(self.distribution, "choices", ()))

    @property
    def allowed(self) -> str:
        """Its values, as a message shows them."""
        return encode_value(self.value) if self.distribution is None else spelled_values(self.distribution)

    def canonical(self, value: Any) -> Value:
        """The equal value that trials have: an int widens to a float, and 2.0 is the choice 2.

        Raises ValueError for one that is outside.
        """
        kind = self.distribution
        if kind is None or isinstance(kind, CategoricalDistribution):
            for same in (_is_identical, _is_equal_number):
                for option in self.options:
                    if same(value, option):
                        return option
        elif _is_number(value) and math.isfinite(value):
            if isinstance(kind, IntDistribution):
                if value == int(value) and kind._contains(kind.to_internal_repr(int(value))):
                    return int(value)
            elif kind._contains(kind.to_internal_repr(float(value))):
                return float(value)
        raise ValueError(value)

    def holds(self, value: Any) -> bool:
        """Whether it can have that value."""
        try:
            self.canonical(value)
        except ValueError:
            return False
        return True


Parameters = tuple[Parameter, ...]
ValuesOf = Callable[[Parameter], Iterable[Value]]
Path = tuple[tuple[str, Value], ...]
"""The choices and options that lead to a parameter."""


@dataclass(frozen=True)
class SearchSpace:
    """What the trials vary: `parameters` are the roots of the tree.

    `fixed` are the command line's other overrides, `pinned` those arguments that gave a searched key one value.
    """

    parameters: Parameters = ()
    fixed: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()

    @classmethod
    def of(cls, distributions: Mapping[str, BaseDistribution]) -> SearchSpace:
        """A space without structure."""
        return cls(tuple(Parameter(key, key, kind, key) for key, kind in distributions.items()))

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Every searched parameter by its name in the study, whichever option it belongs to."""
        found = walk(self.parameters)
        return {each.name: each.distribution for each in found if each.distribution is not None}

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key that a trial may set, whichever option it belongs to."""
        return tuple(dict.fromkeys(each.key for each in walk(self.parameters)))

    @property
    def sweeps(self) -> dict[str, Any]:
        """The space as the user wrote it, nested as it is."""
        return _written(self.parameters)

    @property
    def is_structured(self) -> bool:
        return any(any(each.branches.values()) for each in self.parameters)

    def suggest(self, trial: optuna.Trial) -> dict[str, Value]:
        """A value for each key of the options that are chosen on the way; of the others nothing is sampled."""
        return {each.key: value for each, value in self.chosen(lambda each: (_suggest(trial, each),))}

    def chosen(self, values_of: ValuesOf) -> Iterator[tuple[Parameter, Value]]:
        """The parameters on the way that `values_of` chooses, with their values; it may give none."""
        return _chosen(self.parameters, values_of)

    def params(self, names: Mapping[str, Value]) -> dict[str, Value]:
        """The keys and values of a trial of the study; names of options that it did not choose are left out."""
        return {
            each.key: value
            for each, value in self.chosen(lambda each: (names[each.name],) if each.name in names else ())
        }

    def names(self, params: Mapping[str, Any]) -> dict[str, Value]:
        """The study's parameters that `params`, by key, stand for; a key may be missing.

        Raises SearchSpaceError for a key that the space lacks, or that belongs to an option which `params` does
        not choose, and for a value outside.
        """
        problems: dict[str, str] = {}

        def given(parameter: Parameter) -> tuple[Value, ...]:
            if parameter.key not in params:
                return ()
            try:
                return (parameter.canonical(params[parameter.key]),)
            except ValueError:
                shown = f"{parameter.key}={_spelled(params[parameter.key])}"
                problems[parameter.key] = f"{shown} is outside the search space: {parameter.allowed}"
                return ()

        chosen = [each for each, _ in self.chosen(given)]
        for each in chosen:
            if each.distribution is None:
                given(each)
        keys = {each.key for each in chosen}
        problems |= {key: self._stranger(key) for key in params if key not in keys and key not in problems}
        if problems:
            raise SearchSpaceError("\n".join(problems.values()))
        return {each.name: each.canonical(params[each.key]) for each in chosen if each.distribution is not None}

    def _stranger(self, key: str) -> str:
        paths = [path for path, each in walk_with_path(self.parameters) if each.key == key]
        if paths:
            return f"{key} belongs to {' or to '.join(map(spelled_path, paths))}, which is not chosen"
        return f"{key} is not in the search space; there is: {', '.join(self.keys) or 'nothing'}"


def walk_with_path(parameters: Iterable[Parameter], path: Path = ()) -> Iterator[tuple[Path, Parameter]]:
    """Every parameter of the tree, with what leads to it."""
    for each in parameters:
        yield path, each
        for option, branch in each.branches.items():
            yield from walk_with_path(branch, (*path, (each.key, option)))


def walk(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    """Every parameter of the tree."""
    return (each for _, each in walk_with_path(parameters))


def spelled_path(path: Path) -> str:
    return " and ".join(f"{key}={encode_value(option)}" for key, option in path)


def named(parameters: Parameters) -> Parameters:
    """Give each parameter its name in the study: its key, but where branches search one key differently."""
    seen = defaultdict(list)
    for each in walk(parameters):
        if each.distribution is not None:
            seen[each.key].append(each.distribution)
    ambiguous = {key for key, kinds in seen.items() if any(not _same(kinds[0], kind) for kind in kinds[1:])}

    def renamed(level: Parameters, prefix: str) -> Parameters:
        return tuple(
            replace(
                each,
                name=f"{prefix}{each.key}" if each.key in ambiguous else each.key,
                branches={
                    option: renamed(branch, f"{prefix}{each.key}={encode_value(option)}/")
                    for option, branch in each.branches.items()
                },
            )
            for each in level
        )

    return renamed(parameters, "")


def conflicts(parameters: Parameters) -> Iterator[str]:
    """Keys that one trial would get two values for."""
    by_key = defaultdict(list)
    for path, each in walk_with_path(parameters):
        by_key[each.key.lstrip("+")].append((path, each))
    for found in by_key.values():
        for (one_path, one), (other_path, other) in combinations(found, 2):
            if not _exclude_each_other(one_path, other_path):
                yield f"{other.origin}\n  a trial would get {other.key} twice: {one.origin} says so as well"


def _exclude_each_other(one: Path, other: Path) -> bool:
    """Whether no trial can take both ways: they part at two options of one choice."""
    for (key, option), (other_key, other_option) in zip(one, other, strict=False):
        if key != other_key:
            return False
        if option != other_option:
            return True
    return False


def _chosen(parameters: Parameters, values_of: ValuesOf) -> Iterator[tuple[Parameter, Value]]:
    for each in parameters:
        for value in (each.value,) if each.distribution is None else values_of(each):
            yield each, value
            yield from _chosen(each.branches.get(value, ()), values_of)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_identical(value: Any, option: Value) -> bool:
    return type(value) is type(option) and bool(value == option)


def _is_equal_number(value: Any, option: Value) -> bool:
    return _is_number(value) and _is_number(option) and bool(value == option)


def _same(one: BaseDistribution, other: BaseDistribution) -> bool:
    """Optuna takes 1 and True for the same choice."""
    types = [[type(choice) for choice in getattr(kind, "choices", ())] for kind in (one, other)]
    return one == other and types[0] == types[1]


def _spelled(value: Any) -> str:
    return encode_value(value) if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _written(parameters: Parameters) -> dict[str, Any]:
    return {each.key: _written_one(each) for each in parameters}


def _written_one(parameter: Parameter) -> Any:
    if not any(parameter.branches.values()):
        return parameter.sweep
    return {option: _written(parameter.branches.get(option, ())) for option in parameter.options}


def _suggest(trial: optuna.Trial, parameter: Parameter) -> Value:
    kind = parameter.distribution
    if isinstance(kind, FloatDistribution):
        return trial.suggest_float(parameter.name, kind.low, kind.high, step=kind.step, log=kind.log)
    if isinstance(kind, IntDistribution):
        return trial.suggest_int(parameter.name, kind.low, kind.high, step=kind.step, log=kind.log)
    assert isinstance(kind, CategoricalDistribution)
    return trial.suggest_categorical(parameter.name, kind.choices)
