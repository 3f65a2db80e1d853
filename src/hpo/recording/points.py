"""What a record is to a sink of curves: points at a step."""

from __future__ import annotations

import math
from collections.abc import Mapping


def measured(record: Mapping[str, float | int]) -> dict[str, float | int]:
    """The record without each `val_*` that is NaN: it was not measured, and is no point of its curve."""
    return {key: value for key, value in record.items() if not (key.startswith("val_") and math.isnan(value))}
