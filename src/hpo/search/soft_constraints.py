"""Soft constraints: a trial that breaks one is never the best, and the sampler is told by how much."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from hpo.errors import ConfigError
from hpo.records import Value
from hpo.search.constraint_entries import cannot_be_evaluated, given_by, parse, read_all, try_all, values_of
from hpo.search.expression import Comparison
from hpo.search.values import Values

_KEY = "soft_constraints"
_VIOLATED = 1.0
_LESS, _MORE = ("<", "<="), (">", ">=")


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
        given = given_by(self.values, params, self.origin, self.text)
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
        return cls(read_all(texts, _KEY, lambda text, origin: _bound(text, origin, config, keys)))

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
        try_all(self._bounds, sample_params, _measured)

    def __bool__(self) -> bool:
        return bool(self._bounds)


def _measured(bound: _Bound, params: Mapping[str, Value]) -> None:
    try:
        bound.excess(dict.fromkeys(bound.metrics, 1.0), params)
    except TypeError as error:
        given = bound.values.of(params) or {}
        raise cannot_be_evaluated(bound.origin, bound.text, given, f"TypeError: {error}") from error
    except (ArithmeticError, ValueError):
        pass  # it may be another metric's


def _violation(bound: _Bound, metrics: Mapping[str, Any], params: Mapping[str, Value]) -> float:
    try:
        excess = bound.excess(metrics, params)
    except (ArithmeticError, ConfigError, KeyError, TypeError, ValueError):
        return _VIOLATED
    if excess is None:
        return 0.0
    return excess if math.isfinite(excess) else _VIOLATED


def _bound(text: Any, origin: str, config: DictConfig, keys: Collection[str]) -> _Bound:
    what = "one comparison with <, <=, > or >=, for example `val_latency <= 10`"
    expression = parse(text, origin, what)
    comparison = expression.comparison
    if comparison is None or comparison.operator not in (*_LESS, *_MORE):
        raise ConfigError(f"{origin}: {text}\nmust be {what}")
    known = Values.known_of(expression.names, config, keys)
    metrics = frozenset(name for name in expression.names - known if "." not in name)
    values = values_of(expression, origin, config, keys, metrics)
    return _Bound(origin, expression.text, comparison, values, metrics)
