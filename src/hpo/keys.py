"""Dotted keys of a configuration: whether there is one, which there are, and what a wrong one may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

_NUM_NEAREST = 3
_CUTOFF = 0.5
# nodes that are no part of what a trial runs with
_HIDDEN = ("hydra", "search_space")


def exists(config: DictConfig, key: str) -> bool:
    """Whether the configuration has a key, with a value or without; an element of a list is one."""
    parent, _, leaf = key.rpartition(".")
    try:
        node = OmegaConf.select(config, parent) if parent else config
    except OmegaConfBaseException:
        return False
    if OmegaConf.is_list(node):
        return leaf.isdigit() and int(leaf) < len(node)
    return OmegaConf.is_dict(node) and leaf in node


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings by its dotted key; lists and empty mappings are values."""
    if isinstance(node, Mapping) and node:
        for key, child in node.items():
            yield from leaves(child, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node


def all_keys(config: DictConfig) -> list[str]:
    """Every key of a run configuration, nodes and leaves."""
    return list(_keys(OmegaConf.to_container(config, resolve=False)))


def unknown(config: Mapping[Any, Any], schema: Any) -> Iterator[tuple[str, list[str]]]:
    """Each key that `schema`, a dataclass, does not have, with those that there are in its place.

    A plus adds it, to what the schema describes and to the dataclasses below; nobody reads it.
    """
    kinds = {item.name: item.default_factory for item in fields(schema)}
    for key in map(str, config):
        if key not in kinds:
            yield key, list(kinds)
        elif is_dataclass(kinds[key]) and OmegaConf.is_dict(config[key]):
            for name, known in unknown(config[key], kinds[key]):
                yield f"{key}.{name}", [f"{key}.{each}" for each in known]


def nearest(key: str, known: Iterable[str]) -> str:
    """`; the nearest are: ...` for a message about a key that is not known; nothing where none is near."""
    found = difflib.get_close_matches(key, sorted(set(known)), n=_NUM_NEAREST, cutoff=_CUTOFF)
    return f"; the nearest are: {', '.join(found)}" if found else ""


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        name = f"{prefix}{key}"
        if name not in _HIDDEN:
            yield name
            if isinstance(value, dict):
                yield from _keys(value, f"{name}.")
