"""How values read on a page."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

NOTHING = "\N{EN DASH}"
_DIGITS = 5
_LARGE = 1e6
_MAX_CHARACTERS = 60
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def value(given: Any) -> str:
    """A parameter or a metric: floats to five digits, null, true and text as YAML would have them."""
    if given is None:
        return "null"
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, float):
        return number(given)
    if isinstance(given, dict | list):
        return json.dumps(given, ensure_ascii=False)
    return str(given)


def short(given: Any) -> str:
    """A value that has to fit into a cell."""
    text = value(given)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 1]}…"


def number(given: float) -> str:
    if not math.isfinite(given):
        return "NaN" if math.isnan(given) else "∞" if given > 0 else "-∞"
    if given == int(given) and abs(given) < _LARGE:
        return str(int(given))
    return f"{given:.{_DIGITS}g}"


def finite(given: Any) -> float | None:
    """A number that can be drawn and compared; the state database keeps the others as text."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return float(given) if math.isfinite(given) else None


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def moment(given: datetime | None) -> str:
    """A time of the databases, which is in UTC."""
    return NOTHING if given is None else f"{given.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def size(num_bytes: float) -> str:
    for unit in _UNITS:
        if num_bytes < 1024 or unit == _UNITS[-1]:
            break
        num_bytes /= 1024
    return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"


def state(name: str) -> str:
    """`PRUNED_POOR_PERFORMANCE` as `pruned poor performance`."""
    return name.replace("_", " ").lower()
