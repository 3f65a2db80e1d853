"""What a trial's configuration has otherwise than the experiment's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpo.keys import leaves

# what belongs to a launch, and not to what is trained
OF_A_LAUNCH = frozenset(
    ("resume", "dry_run", "experiment_dir", "experiment_id", "run_task", "verbose", "total_trials", "search_space")
)
ABSENT = "(not there)"


@dataclass(frozen=True)
class Difference:
    """One key: its default, and its value in the trial; ABSENT where one of them lacks it."""

    key: str
    default: Any
    value: Any


def differences(defaults: Mapping[str, Any], config: Mapping[str, Any]) -> list[Difference]:
    """Every key below which the two differ, in their order; a list is one value."""
    before, now = dict(leaves(defaults)), dict(leaves(config))
    return [
        Difference(key, before.get(key, ABSENT), now.get(key, ABSENT))
        for key in {**before, **now}
        if key.partition(".")[0] not in OF_A_LAUNCH
        and (key not in before or key not in now or not _is_equal(before[key], now[key]))
    ]


def _is_equal(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
