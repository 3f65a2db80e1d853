"""Times, numbers and sizes as the table spells them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hpo.objectives import PROGRESS
from hpo.records import State

_MEGABYTE = 2**20
_GIGABYTE = 2**30
_SHORT = {
    State.PRUNED_POOR_PERFORMANCE: "PRUNED",
    State.PRUNED_DUPLICATE: "DUPLICATE",
    State.PRUNED_INVALID: "INVALID",
    State.FAIL_RECOVERABLE: "RECOVERABLE",
}


def clock(seconds: float) -> str:
    """`0:41`, `3:41`, `1:02:09`, `2 d 04 h`."""
    whole = max(round(seconds), 0)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02d} h"
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def number(value: float, digits: int = 5) -> str:
    return f"{value:.{digits}g}"


def speed(value: float) -> str:
    """`0.31`, `8.2`, `812`, `12k`: at most four characters."""
    if not math.isfinite(value):
        return ""
    if value >= 10_000:
        return f"{value / 1_000_000:.0f}M" if value >= 1_000_000 else f"{value / 1000:.0f}k"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def size(num_bytes: float) -> str:
    """`312 MB`, `1.4 GB`."""
    if num_bytes >= _GIGABYTE:
        return f"{num_bytes / _GIGABYTE:.1f} GB"
    return f"{num_bytes / _MEGABYTE:.0f} MB"


def state(of: State) -> str:
    """A state in at most eleven characters."""
    return _SHORT.get(of, of.value)


def counts(tally: Mapping[State, int]) -> str:
    """How many trials are in each state; those where none is are left out, but for the failed."""
    pruned = sum(count for of, count in tally.items() if of.is_pruned)
    named = (
        ("running", tally.get(State.RUNNING, 0)),
        ("waiting", tally.get(State.WAITING, 0)),
        ("to be tried again", tally.get(State.FAIL_RECOVERABLE, 0)),
        ("complete", tally.get(State.COMPLETE, 0)),
        ("pruned", pruned),
    )
    return ", ".join(
        [f"{count} {name}" for name, count in named if count] + [f"{tally.get(State.FAIL, 0)} failed"]
    )


def metrics(values: Mapping[str, float], objectives: Sequence[str], width: int) -> str:
    """Metrics as far as they fit: the objectives, the other validation metrics, the training's."""
    names = [name for name in objectives if name in values]
    others = [name for name in values if name not in names and name not in PROGRESS and name[:5] != "best_"]
    for prefix in ("val_", ""):
        names += [name for name in others if name not in names and name.startswith(prefix)]
    shown = ""
    for name in names:
        longer = f"{shown}  {name} {number(values[name], 4)}" if shown else f"{name} {number(values[name], 4)}"
        if shown and len(longer) > width:
            break
        shown = longer
    return shown
