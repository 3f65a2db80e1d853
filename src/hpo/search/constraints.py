"""Hard constraints: what a proposal must keep to be run at all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hpo.errors import ConfigError, spelled
from hpo.nodes import describe_failure, is_node
from hpo.records import Value
from hpo.search.constraint_entries import (
    cannot_be_evaluated,
    given_by,
    parse,
    read_all,
    spelled_values,
    try_all,
    values_of,
)
from hpo.search.expression import Expression
from hpo.search.values import Values

_KEY = "constraints"


class _Constraint(Protocol):
    """One hard constraint, as its user knows it: `origin` is where it stands, `text` what it says."""

    @property
    def origin(self) -> str: ...
    @property
    def text(self) -> str: ...
    def holds(self, params: Mapping[str, Value]) -> bool: ...


@dataclass(frozen=True)
class _Function:
    origin: str
    text: str
    function: Callable[[Mapping[str, Value]], Any]

    def holds(self, params: Mapping[str, Value]) -> bool:
        given = {key.lstrip("+"): value for key, value in params.items()}
        try:
            answer = self.function(dict(given))
        except Exception as error:
            raise cannot_be_evaluated(self.origin, self.text, given, spelled(error)) from error
        return _truth(self, given, answer)


@dataclass(frozen=True)
class _Formula:
    origin: str
    expression: Expression
    values: Values

    @property
    def text(self) -> str:
        return self.expression.text

    def holds(self, params: Mapping[str, Value]) -> bool:
        given = given_by(self.values, params, self.origin, self.text)
        if given is None:
            return True
        try:
            answer = self.expression.evaluate(given)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise cannot_be_evaluated(self.origin, self.text, given, said) from error
        return _truth(self, given, answer)


@dataclass(frozen=True)
class HardConstraints:
    """What every proposal must keep; one that breaks a constraint is never run."""

    _constraints: Sequence[_Constraint]

    @classmethod
    def of(cls, nodes: Iterable[Any], config: DictConfig, keys: Collection[str]) -> HardConstraints:
        """The entries of `constraints`: expressions, or nodes of functions `(params, **kwargs) -> bool`.

        `keys` are those that the space searches, in any branch. Raises one ConfigError for all that names no key,
        cannot be read, or cannot be called.
        """
        return cls(read_all(nodes, _KEY, lambda node, origin: _hard(node, origin, config, keys)))

    def broken(self, params: Mapping[str, Value]) -> str | None:
        """The first constraint that a proposal breaks, as it is written; why, where it cannot be evaluated.

        One over a searched key that the proposal lacks, since its subspace was not chosen, holds.
        """
        return next(filter(None, (_broken(each, params) for each in self._constraints)), None)

    def tally(self, sample_params: Iterable[Mapping[str, Value]]) -> list[str]:
        """For each constraint a line that says how many of these proposals break it."""
        samples = list(sample_params)
        counts = [sum(_broken(each, params) is not None for params in samples) for each in self._constraints]
        return [
            f"{each.origin}: {each.text}\nis broken by {count:,} of them"
            for each, count in zip(self._constraints, counts, strict=True)
        ]

    def check(self, sample_params: Iterable[Mapping[str, Value]]) -> None:
        """Raise one ConfigError for the constraints that cannot be evaluated for one of these proposals."""
        try_all(self._constraints, sample_params, lambda each, params: each.holds(params))

    def __bool__(self) -> bool:
        return bool(self._constraints)


def _broken(constraint: _Constraint, params: Mapping[str, Value]) -> str | None:
    try:
        return None if constraint.holds(params) else constraint.text
    except ConfigError as error:
        # a search that has gone on for days does not end for one proposal
        return str(error).removeprefix(f"{constraint.origin}: ").replace("\n", ", which ")


def _hard(node: Any, origin: str, config: DictConfig, keys: Collection[str]) -> _Constraint:
    if isinstance(node, Mapping) and not OmegaConf.is_config(node):
        node = OmegaConf.create(dict(node))
    if is_node(node):
        return _Function(origin, _shown(node), _callable(node, origin))
    expression = parse(node, origin, "an expression, or a node with the `_target_` of a function")
    return _Formula(origin, expression, values_of(expression, origin, config, keys))


def _callable(node: DictConfig, origin: str) -> Callable[[Mapping[str, Value]], Any]:
    with describe_failure(origin, node, "cannot be imported"):
        function: partial[Any] = instantiate(node, _convert_="all", _partial_=True)
    try:
        inspect.signature(function.func).bind(*function.args, {}, **function.keywords)
    except ValueError:  # it is written in C and does not say what it takes
        pass
    except TypeError as error:
        raise ConfigError(
            f"{origin} ({_shown(node)}) cannot be called with a proposal's parameters as its first argument: "
            f"{error}"
        ) from error
    return function


def _shown(node: DictConfig) -> str:
    values = {str(name): node[name] for name in node if not str(name).startswith("_")}
    spelled_values = ", ".join(f"{name}={value!r}" for name, value in values.items())
    return f"{node['_target_']}({spelled_values})" if values else str(node["_target_"])


def _truth(constraint: _Constraint, given: Mapping[str, Any], answer: Any) -> bool:
    if isinstance(answer, bool | np.bool_):
        return bool(answer)
    raise ConfigError(
        f"{constraint.origin}: {constraint.text}\n"
        f"must be true or false, but is {answer!r} for {spelled_values(given)}"
    )
