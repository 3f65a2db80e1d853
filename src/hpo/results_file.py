"""What results.json holds, as far as it is whole: a process may have died while it wrote the end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_DECODER = json.JSONDecoder()
_BEFORE_A_RECORD = re.compile(r"[\s,]*")


def read_records(path: Path) -> list[dict[str, Any]]:
    """The whole records of a results.json; none where there is no file."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return [record for record, _ in whole_records(text)]


def whole_records(text: str) -> list[tuple[dict[str, Any], int]]:
    """Each record up to the first one that was cut, with the position in `text` behind it."""
    found: list[tuple[dict[str, Any], int]] = []
    position = 1
    while text.startswith("["):
        before = _BEFORE_A_RECORD.match(text, position)
        assert before is not None
        try:
            record, position = _DECODER.raw_decode(text, before.end())
        except json.JSONDecodeError:
            break
        if not isinstance(record, dict):
            break
        found.append((record, position))
    return found


def step_of(record: Mapping[str, Any], num_logged: int) -> int:
    """The iteration that the record belongs to; without one, records are counted (`num_logged` from 1)."""
    return int(record.get("current_iteration", num_logged))


def num_until(records: Sequence[Mapping[str, Any]], step: int) -> int:
    """How many records there are before the first one that lies beyond `step`."""
    for index, record in enumerate(records):
        if step_of(record, index + 1) > step:
            return index
    return len(records)
