"""What a record is to a sink of curves: points at a step."""

from __future__ import annotations

import math
from collections.abc import Mapping


def step_of(record: Mapping[str, float | int], num_logged: int) -> int:
    """The iteration that the record belongs to; without one, records are counted (`num_logged` from 1)."""
    return int(record.get("current_iteration", num_logged))


def measured(record: Mapping[str, float | int]) -> dict[str, float | int]:
    """The record without each `val_*` that is NaN: it was not measured, and is no point of its curve."""
    return {key: value for key, value in record.items() if not (key.startswith("val_") and math.isnan(value))}
