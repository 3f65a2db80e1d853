"""What sets a trial's configuration apart from the defaults of its experiment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hpo.analysis.differences import OF_A_LAUNCH
from hpo.dashboard.database import Database

# CSafeLoader where libyaml is there: it makes plain values alone, whatever a tag asks for
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_LEAVES = 20_000
_MAX_BYTES = 20_000_000
_MAX_DEPTH = 40
ABSENT = object()


@dataclass(frozen=True)
class Difference:
    """A key whose value is another one: `default` or `value` is ABSENT where there is none."""

    key: str
    default: Any
    value: Any
    is_searched: bool

    @property
    def is_missing(self) -> bool:
        """Whether the trial's configuration has no such key."""
        return self.value is ABSENT

    @property
    def is_same(self) -> bool:
        return self.default is not ABSENT and bool(self.default == self.value)


def differences(
    defaults: Mapping[str, Any], config: Mapping[str, Any], searched: Mapping[str, Any]
) -> list[Difference]:
    """The searched parameters, changed or not, then every other key of what is trained that differs."""
    before, after = (
        {key: value for key, value in _leaves(each) if key.partition(".")[0] not in OF_A_LAUNCH}
        for each in (defaults, config)
    )
    found = [
        Difference(key, before.get(key, ABSENT), after.get(key, value), True) for key, value in searched.items()
    ]
    found += [
        Difference(key, before.get(key, ABSENT), value, False)
        for key, value in after.items()
        if key not in searched and before.get(key, ABSENT) != value
    ]
    groups = {key.partition(".")[0] for key in after}
    found += [
        Difference(key, value, ABSENT, False)
        for key, value in before.items()
        if key not in after and key not in searched and key.partition(".")[0] in groups
    ]
    return found


def defaults_of(database: Database, path: Path | None) -> tuple[Mapping[str, Any], str | None]:
    """The experiment's configuration by its default_config.yaml, or else by the state database; what is wrong."""
    told = "it is not there" if path is None else None
    if path is not None:
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise ValueError("it is too large")
            loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
            if isinstance(loaded, dict):
                return loaded, None
            told = "it holds no mapping"
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            told = f"it cannot be read: {str(error).splitlines()[0]}"
    row = database.row("SELECT config FROM experiments WHERE experiment_id = ?")
    return mapping_of(row["config"] if row is not None else None), told


def mapping_of(text: str | None) -> Mapping[str, Any]:
    """A mapping in JSON; an empty one for anything else."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every value by its dotted key; no more than so many, since aliases can make a small file endless."""
    count = 0
    stack: list[tuple[str, Any, int]] = [("", values, 0)]
    while stack and count < _MAX_LEAVES:
        prefix, value, depth = stack.pop()
        if isinstance(value, dict) and value and depth < _MAX_DEPTH:
            stack += [
                (f"{prefix}.{key}" if prefix else str(key), child, depth + 1)
                for key, child in reversed(value.items())
            ]
        else:
            count += 1
            yield prefix, value
