"""Configurations that the user wants tried: a list, or a file of them in YAML or CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from hpo.errors import ConfigError, SearchSpaceError
from hpo.search.tree import SearchSpace, walk

_FORMS = (
    "enqueue takes a list of mappings from searched keys to values, or the path of a .yaml or .csv file of them"
)


def read_enqueued(node: Any, space: SearchSpace) -> list[dict[str, Any]]:
    """The configurations in their order; a key that one leaves out is the sampler's to choose.

    Raises ConfigError for what cannot be read, and one SearchSpaceError for all that is outside the space.
    """
    if node is None:
        return []
    entries = list(_from_file(Path(node), space)) if isinstance(node, str) else list(_from_list(node, "enqueue"))
    if not entries and isinstance(node, str):
        raise ConfigError(f"enqueue={node} holds no configuration; {_FORMS}")
    problems, found = [], []
    for where, entry in entries:
        try:
            space.names(entry)
        except SearchSpaceError as error:
            problems += [f"{where}: {line}" for line in str(error).splitlines()]
        found.append(entry)
    if problems:
        raise SearchSpaceError("\n".join(problems))
    return found


def _from_file(path: Path, space: SearchSpace) -> Iterable[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"enqueue={path} cannot be read: {error}; {_FORMS}") from error
    if path.suffix == ".csv":
        return _from_csv(path, text, space)
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"enqueue={path} has an unknown ending; {_FORMS}")
    try:
        return _from_list(yaml.safe_load(text), str(path))
    except yaml.YAMLError as error:
        raise ConfigError(f"enqueue={path} is no YAML: {error}") from error


def _from_list(node: Any, where: str) -> Iterable[tuple[str, dict[str, Any]]]:
    entries = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if not isinstance(entries, list):
        raise ConfigError(f"{where} is {entries!r}; {_FORMS}")
    strange = [f"{where}[{index}] is {entry!r}" for index, entry in enumerate(entries) if not _is_mapping(entry)]
    if strange:
        raise ConfigError("\n".join([*strange, _FORMS]))
    return [
        (f"{where}[{index}]", {str(key): value for key, value in entry.items()})
        for index, entry in enumerate(entries)
    ]


def _is_mapping(entry: Any) -> bool:
    return isinstance(entry, Mapping)


def _from_csv(path: Path, text: str, space: SearchSpace) -> Iterable[tuple[str, dict[str, Any]]]:
    """The first line names the keys; an empty cell leaves its key out."""
    rows = csv.DictReader(text.splitlines())
    header = list(rows.fieldnames or ())
    if not header:
        raise ConfigError(f"enqueue={path} is empty: its first line names the searched keys")
    twice = [key for key in dict.fromkeys(header) if header.count(key) > 1]
    strange = [key for key in header if key not in space.keys]
    if twice:
        raise ConfigError(f"enqueue={path}, line 1: {', '.join(twice)} stands there twice")
    if strange:
        there = ", ".join(space.keys) or "nothing"
        raise SearchSpaceError(
            f"enqueue={path}, line 1: {', '.join(strange)} is not in the search space; there is: {there}"
        )
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        if None in row or None in row.values():
            raise ConfigError(f"{where} has not as many cells as the first line has keys")
        yield where, {key: _cell(key, cell, space) for key, cell in row.items() if cell != ""}


def _cell(key: str, cell: str, space: SearchSpace) -> Any:
    """A cell has no type: it is what the space has of it, a number, boolean or null before a string."""
    try:
        value = yaml.safe_load(cell)
    except yaml.YAMLError:
        return cell
    value = _as_number(cell, value)
    of_key = [each for each in walk(space.parameters) if each.key == key]
    if any(each.holds(cell) for each in of_key) and not any(each.holds(value) for each in of_key):
        return cell
    return value


def _as_number(cell: str, value: Any) -> Any:
    """YAML takes 1e-3 for a string."""
    if not isinstance(value, str):
        return value
    try:
        return float(cell)
    except ValueError:
        return value
