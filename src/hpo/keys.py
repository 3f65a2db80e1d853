"""Dotted keys of a configuration: whether there is one, which there are, and what a wrong one may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
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
