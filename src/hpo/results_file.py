"""What results.json holds, as far as it is whole: a process may have died while it wrote the end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

STEP = "current_iteration"
"""The key by which a record knows its iteration."""

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


def written(record: Mapping[str, Any]) -> str:
    """A record as results.json has it: one key a line."""
    # indent=0 does the same, three times as slow
    fields = json.dumps(dict(record), separators=(",\n", ": "))[1:-1]
    return f"{{\n{fields}\n}}"


def written_all(records: Iterable[Mapping[str, Any]]) -> str:
    """A whole results.json."""
    return "[" + ",".join(f"\n{written(record)}" for record in records) + "\n]"


def is_whole(path: Path) -> bool:
    """Whether there is a results.json that is a valid array."""
    try:
        return isinstance(json.loads(path.read_bytes()), list)
    except (FileNotFoundError, ValueError):
        return False


def step_of(record: Mapping[str, Any], num_logged: int) -> int:
    """The iteration that the record belongs to; without one, records are counted (`num_logged` from 1)."""
    return int(record.get(STEP, num_logged))


def num_kept(records: Sequence[Mapping[str, Any]], step: int, num_saved: int) -> int:
    """How many records stay where a trial goes on from `step`, at whose checkpoint there were `num_saved`.

    None from the first one beyond `step` on; of those without an iteration, none that came after the checkpoint.
    """
    if step == num_saved == 0:
        return 0
    end = next((index for index, record in enumerate(records) if record.get(STEP, 0) > step), len(records))
    while end > num_saved and STEP not in records[end - 1]:
        end -= 1
    return end
