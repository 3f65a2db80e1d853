"""What the two lists of constraints have in common: how they are read, tried, and complained about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from omegaconf import DictConfig

from hpo.errors import ConfigError, HpoError
from hpo.records import Value
from hpo.search.expression import Expression
from hpo.search.values import Values

Entry = TypeVar("Entry")


def read_all(entries: Iterable[Any], key: str, read: Callable[[Any, str], Any]) -> list[Any]:
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


def try_all(
    entries: Iterable[Entry],
    sample_params: Iterable[Mapping[str, Value]],
    attempt: Callable[[Entry, Mapping[str, Value]], object],
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


def parse(text: Any, origin: str, what: str) -> Expression:
    if not isinstance(text, str):
        raise ConfigError(f"{origin}: {text!r}\nmust be {what}")
    try:
        return Expression.parse(text)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error


def values_of(
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


def given_by(values: Values, params: Mapping[str, Value], origin: str, text: str) -> dict[str, Any] | None:
    """The values for a proposal, None where the constraint does not apply; an error says which one it is."""
    try:
        return values.of(params)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {text}\n{error}") from error


def cannot_be_evaluated(origin: str, text: str, given: Mapping[str, Any], said: str) -> ConfigError:
    return ConfigError(f"{origin}: {text}\ncannot be evaluated for {spelled_values(given)}: {said}")


def spelled_values(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in sorted(given.items())) or "no parameters"
