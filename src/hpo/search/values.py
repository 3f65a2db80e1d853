"""The values that an expression over dotted keys reads: a proposal's, and else the configured ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Any

from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from hpo.errors import ConfigError
from hpo.keys import all_keys, exists, nearest
from hpo.records import Value


def plain_key(key: str) -> str:
    """A searched key as an expression names it: without the plus that adds it, a group's folders with dots."""
    return key.lstrip("+").replace("/", ".")


class Values:
    """The values of some names for each proposal.

    A name of a config group stands for the option that is chosen. A name whose configured value depends on what is
    searched, by an interpolation or as a node with searched keys below it, is resolved for each proposal.
    """

    def __init__(self, names: Collection[str], config: DictConfig, keys: Collection[str]) -> None:
        """`keys` are those that the space searches. Raises ConfigError for a name that is no key of either."""
        searched = {plain_key(key) for key in keys}
        options = _options(config)
        self._config = config
        self._groups = frozenset(options)
        self._searched = frozenset(names) & searched
        self._configured: dict[str, Any] = {}
        self._dependent: list[str] = []
        # what has a value of its own where the option that searches it is not chosen
        self._otherwise = {
            name: options[name] if name in options else _selected(config, name)
            for name in self._searched
            if name in options or exists(config, name)
            if not any(name.startswith(f"{group}.") for group in searched & options.keys())
        }
        unknown = set(names) - self.known_of(names, config, keys)
        if unknown:
            raise ConfigError("\n".join(_unknown(name, config, searched) for name in sorted(unknown)))
        for name in sorted(set(names) - searched):
            owner = next((key for key in sorted(searched) if name.startswith(f"{key}.")), None)
            if name in options:
                self._configured[name] = options[name]
            elif owner is not None:
                raise ConfigError(
                    f"{name} depends on the option of {owner}, which is searched, and is not searched itself; "
                    f"compare {owner} with an option instead, or search {name} too"
                )
            elif any(key.startswith(f"{name}.") for key in searched) or _is_interpolated(config, name):
                self._dependent.append(name)
            else:
                self._configured[name] = _selected(config, name)

    @staticmethod
    def known_of(names: Collection[str], config: DictConfig, keys: Collection[str]) -> frozenset[str]:
        """Those of the names that are keys of the space or the configuration."""
        known = {plain_key(key) for key in keys} | _options(config).keys()
        return frozenset(name for name in names if name in known or exists(config, name))

    def of(self, params: Mapping[str, Value]) -> dict[str, Any] | None:
        """The values for a proposal; None when one of them is an option's that it has not chosen."""
        proposed = {plain_key(key): value for key, value in params.items()}
        given = {**self._otherwise, **proposed}
        if not self._searched <= given.keys():
            return None
        values = {**self._configured, **{name: given[name] for name in self._searched}}
        if self._dependent:
            trial = self._with(proposed)
            values.update({name: _selected(trial, name) for name in self._dependent})
        return values

    def _with(self, proposed: Mapping[str, Value]) -> DictConfig:
        """The configuration with a proposal's values, but for the options of groups, which take a composition."""
        trial = OmegaConf.masked_copy(self._config, [str(key) for key in self._config if key != "hydra"])
        with flag_override(trial, ["struct", "readonly"], False):
            for key, value in proposed.items():
                if key not in self._groups and exists(trial, key):
                    OmegaConf.update(trial, key, value, merge=False)
        return trial


def _options(config: DictConfig) -> dict[str, Any]:
    """The configured option of each config group; those of Hydra's own are no part of a run configuration."""
    choices = OmegaConf.select(config, "hydra.runtime.choices") or {}
    return {plain_key(str(key)): option for key, option in choices.items() if not str(key).startswith("hydra/")}


def _selected(config: DictConfig, name: str) -> Any:
    """The value of a key, resolved and plain. Raises ConfigError where there is none."""
    try:
        value = OmegaConf.select(config, name, throw_on_missing=True)
        if OmegaConf.is_config(value):
            return OmegaConf.to_container(value, resolve=True, throw_on_missing=True, enum_to_str=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{name} has no value: {str(error).splitlines()[0]}") from error
    return value.name if isinstance(value, Enum) else value


def _is_interpolated(config: DictConfig, name: str) -> bool:
    """Whether the value of a key is taken from elsewhere: itself, something that holds it, or something in it."""
    node: Any = OmegaConf.to_container(config, resolve=False)
    for part in name.split("."):
        if isinstance(node, str):
            return True
        node = node[int(part)] if isinstance(node, list) else node[part]
    return any("${" in text for text in _texts(node))


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _texts(child)


def _unknown(name: str, config: DictConfig, searched: Collection[str]) -> str:
    hint = nearest(name, [*searched, *_options(config), *all_keys(config)])
    return f"neither the search space nor the configuration has a key {name}{hint}"
