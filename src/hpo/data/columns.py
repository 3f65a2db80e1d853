"""Which columns of a table are the input and which one is the target."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo.errors import DataError

_MAX_SHOWN = 20


@dataclass(frozen=True)
class Columns:
    """Positions in a row, and the names that errors tell."""

    names: tuple[str, ...]
    features: tuple[int, ...]
    target: int

    @property
    def target_name(self) -> str:
        return self.names[self.target]


def choose(path: Path, names: Sequence[str], target: str, features: Sequence[str] | None) -> Columns:
    """The columns of that name; without `features` all but the target. Raises DataError for what is not there."""
    for name in {name for name in names if names.count(name) > 1}:
        if name == target or features is None or name in features:
            raise DataError(f"{path} has more than one column {name!r}")
    target_at = _position(path, names, target, "data_config.target")
    if features is None:
        chosen = tuple(at for at in range(len(names)) if at != target_at)
    else:
        chosen = tuple(_position(path, names, name, "data_config.features") for name in features)
    if target_at in chosen:
        raise DataError(f"data_config.features holds the target {target!r}, which a model is to find by itself")
    if not chosen:
        raise DataError(f"{path}: no column is left to learn from besides the target {target!r}")
    return Columns(tuple(names), chosen, target_at)


def _position(path: Path, names: Sequence[str], name: str, key: str) -> int:
    if name in names:
        return list(names).index(name)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    shown = ", ".join(names[:_MAX_SHOWN]) + (", ..." if len(names) > _MAX_SHOWN else "")
    meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise DataError(f"{path} has no column {name!r} ({key}){meant} There are: {shown}")
