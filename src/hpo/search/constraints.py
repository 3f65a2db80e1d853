"""Constraints: what a proposal must keep to be run at all, and what a good trial keeps."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hpo.errors import ConfigError, HpoError, spelled
from hpo.nodes import describe_failure, is_node
from hpo.records import Value
from hpo.search.expression import Comparison, Expression
from hpo.search.values import Values, plain_key

_HARD, _SOFT = "constraints", "soft_constraints"
_VIOLATED = 1.0
_LESS, _MORE = ("<", "<="), (">", ">=")

_Entry = TypeVar("_Entry")


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
        given = {plain_key(key): value for key, value in params.items()}
        try:
            answer = self.function(dict(given))
        except Exception as error:
            raise _raised(self, given, error) from error
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
        given = self.values.of(params)
        if given is None:
            return True
        try:
            answer = self.expression.evaluate(given)
        except Exception as error:
            raise _raised(self, given, error) from error
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
        return cls(_all_of(nodes, _HARD, lambda node, origin: _hard(node, origin, config, keys)))

    def broken(self, params: Mapping[str, Value]) -> str | None:
        """The first constraint that a proposal breaks, as it is written; why, where it cannot be evaluated.

        One over a searched key that the proposal lacks, since its subspace was not chosen, holds.
        """
        for constraint in self._constraints:
            try:
                if not constraint.holds(params):
                    return constraint.text
            except ConfigError as error:
                # a search that has gone on for days does not end for one proposal
                return str(error).removeprefix(f"{constraint.origin}: ").replace("\n", ", which ")
        return None

    def check(self, sample_params: Iterable[Mapping[str, Value]]) -> None:
        """Raise one ConfigError for the constraints that cannot be evaluated for one of these proposals."""
        _try(self._constraints, sample_params, lambda each, params: each.holds(params))

    def __bool__(self) -> bool:
        return bool(self._constraints)


@dataclass(frozen=True)
class _Bound:
    """A comparison that a trial's metrics and keys should keep."""

    origin: str
    text: str
    comparison: Comparison
    values: Values
    metrics: frozenset[str]

    def excess(self, metrics: Mapping[str, Any], params: Mapping[str, Value]) -> float | None:
        """How far above the bound it is, not above 0 when it is kept; None where it does not apply."""
        given = self.values.of(params)
        if given is None:
            return None
        known = {**given, **{name: metrics[name] for name in self.metrics}}
        left = self.comparison.left.evaluate(known)
        right = self.comparison.right.evaluate(known)
        excess = float(left - right if self.comparison.operator in _LESS else right - left)
        # equal is not less, and Optuna takes only what is above 0 for broken
        return math.ulp(1.0) if excess == 0 and "=" not in self.comparison.operator else excess


@dataclass(frozen=True)
class SoftConstraints:
    """What a good trial keeps: Optuna's samplers are told how far it does not."""

    _bounds: Sequence[_Bound]

    @classmethod
    def of(cls, texts: Iterable[str], config: DictConfig, keys: Collection[str]) -> SoftConstraints:
        """The entries of `soft_constraints`: one comparison each, over metrics and keys.

        A name without a dot that is no key is a metric. Raises one ConfigError for all that is not so.
        """
        return cls(_all_of(texts, _SOFT, lambda text, origin: _bound(text, origin, config, keys)))

    @property
    def metrics(self) -> frozenset[str]:
        """The names that a trial's metrics must have."""
        return frozenset[str]().union(*(bound.metrics for bound in self._bounds))

    def violations(self, metrics: Mapping[str, Any], params: Mapping[str, Value]) -> dict[str, float]:
        """For each constraint, as it is written, by how much it is broken: at most 0 when it is kept.

        What is missing, not finite or no number counts as broken by 1; a constraint over a searched key that the
        trial lacks, since its subspace was not chosen, as kept.
        """
        return {bound.text: _violation(bound, metrics, params) for bound in self._bounds}

    def check(self, sample_params: Iterable[Mapping[str, Value]]) -> None:
        """Raise one ConfigError for those that compare what are not numbers, whatever the metrics will be."""
        _try(self._bounds, sample_params, _measured)

    def __bool__(self) -> bool:
        return bool(self._bounds)


def _measured(bound: _Bound, params: Mapping[str, Value]) -> None:
    try:
        bound.excess(dict.fromkeys(bound.metrics, 1.0), params)
    except TypeError as error:
        raise _raised(bound, bound.values.of(params) or {}, error) from error
    except (ArithmeticError, ValueError):
        pass  # it may be another metric's


def _violation(bound: _Bound, metrics: Mapping[str, Any], params: Mapping[str, Value]) -> float:
    try:
        excess = bound.excess(metrics, params)
    except (ArithmeticError, KeyError, TypeError, ValueError):
        return _VIOLATED
    if excess is None:
        return 0.0
    return excess if math.isfinite(excess) else _VIOLATED


def _all_of(entries: Iterable[Any], key: str, read: Callable[[Any, str], Any]) -> list[Any]:
    """Every entry of a list as it is read; one ConfigError lists what cannot be."""
    found, problems = [], []
    for index, entry in enumerate(entries):
        try:
            found.append(read(entry, f"{key}[{index}]"))
        except HpoError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return found


def _try(
    entries: Iterable[_Entry],
    sample_params: Iterable[Mapping[str, Value]],
    attempt: Callable[[_Entry, Mapping[str, Value]], object],
) -> None:
    """Raise one ConfigError that holds the first complaint about each entry."""
    samples, problems = list(sample_params), []
    for entry in entries:
        for params in samples:
            try:
                attempt(entry, params)
            except ConfigError as error:
                problems.append(str(error))
                break
    if problems:
        raise ConfigError("\n".join(problems))


def _hard(node: Any, origin: str, config: DictConfig, keys: Collection[str]) -> _Constraint:
    if isinstance(node, Mapping) and not OmegaConf.is_config(node):
        node = OmegaConf.create(dict(node))
    if is_node(node):
        return _Function(origin, _shown(node), _callable(node, origin))
    expression = _parsed(node, origin, "an expression, or a node with the `_target_` of a function")
    return _Formula(origin, expression, _values(expression, origin, config, keys))


def _callable(node: DictConfig, origin: str) -> Callable[[Mapping[str, Value]], Any]:
    with describe_failure(origin, node, "cannot be imported"):
        function: partial[Any] = instantiate(node, _convert_="all", _partial_=True)
    try:
        inspect.signature(function.func).bind({}, *function.args, **function.keywords)
    except ValueError:  # it is written in C and does not say what it takes
        pass
    except TypeError as error:
        raise ConfigError(
            f"{origin} ({_shown(node)}) cannot be called with a proposal's parameters as its first argument: "
            f"{error}"
        ) from error
    return function


def _bound(text: Any, origin: str, config: DictConfig, keys: Collection[str]) -> _Bound:
    what = "one comparison with <, <=, > or >=, for example `val_latency <= 10`"
    expression = _parsed(text, origin, what)
    comparison = expression.comparison
    if comparison is None or comparison.operator not in (*_LESS, *_MORE):
        raise ConfigError(f"{origin}: {text}\nmust be {what}")
    known = Values.known_of(expression.names, config, keys)
    metrics = frozenset(name for name in expression.names - known if "." not in name)
    values = _values(expression, origin, config, keys, metrics)
    return _Bound(origin, expression.text, comparison, values, metrics)


def _parsed(text: Any, origin: str, what: str) -> Expression:
    if not isinstance(text, str):
        raise ConfigError(f"{origin}: {text!r}\nmust be {what}")
    try:
        return Expression.parse(text)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error


def _values(
    expression: Expression,
    origin: str,
    config: DictConfig,
    keys: Collection[str],
    metrics: frozenset[str] = frozenset(),
) -> Values:
    try:
        return Values(expression.names - metrics, config, keys)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {expression.text}\n{error}") from error


def _shown(node: DictConfig) -> str:
    values = {str(name): node[name] for name in node if not str(name).startswith("_")}
    spelled_values = ", ".join(f"{name}={value!r}" for name, value in values.items())
    return f"{node['_target_']}({spelled_values})" if values else str(node["_target_"])


def _truth(constraint: _Constraint, given: Mapping[str, Any], answer: Any) -> bool:
    if isinstance(answer, bool | np.bool_):
        return bool(answer)
    raise ConfigError(
        f"{constraint.origin}: {constraint.text}\nmust be true or false, but is {answer!r} for {_spelled(given)}"
    )


def _raised(constraint: _Constraint | _Bound, given: Mapping[str, Any], error: Exception) -> ConfigError:
    said = spelled(error) if isinstance(constraint, _Function) else f"{type(error).__name__}: {error}"
    return ConfigError(
        f"{constraint.origin}: {constraint.text}\ncannot be evaluated for {_spelled(given)}: {said}"
    )


def _spelled(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in sorted(given.items())) or "no parameters"
