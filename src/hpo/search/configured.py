"""The configured values of what is searched."""

from __future__ import annotations

from enum import Enum
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hpo.keys import exists
from hpo.records import Value
from hpo.search.tree import Parameter, SearchSpace


def configured_value(config: DictConfig, key: str) -> Any:
    """The value of a key as it is configured: of a group its option, of an enumeration the name."""
    value = OmegaConf.select(config, key.lstrip("+"), throw_on_missing=False)
    if value is None or OmegaConf.is_config(value):
        value = config.hydra.runtime.choices.get(key, value)
    return value.name if isinstance(value, Enum) else value


def configured_values(config: DictConfig, space: SearchSpace) -> dict[str, Value] | str | None:
    """The configured value of each searched key; why they are no trial when one is outside the space.

    None when nothing is searched.
    """
    outside: list[str] = []

    def value_of(each: Parameter) -> tuple[Value, ...]:
        value = configured_value(config, each.key)
        if value is None and not exists(config, each.key.lstrip("+")):
            outside.append(
                f"the configuration has no {each.key.lstrip('+')}, and so no configured values to try first"
            )
            return ()
        try:
            return (each.canonical(value),)
        except ValueError:
            outside.append(
                f"the configured {each.key}={value} is outside the search space ({each.allowed}), "
                "and so is not tried"
            )
            return ()

    values = {each.key: value for each, value in space.chosen(value_of)}
    return outside[0] if outside else values or None
