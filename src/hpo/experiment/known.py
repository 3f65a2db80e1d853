"""A trial as an earlier scheduler left it in the state database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hpo.records import Ended, Started, State
from hpo.stored import metrics_of


@dataclass(frozen=True)
class KnownTrial:
    """`ended` has the state also where the trial has not come to its end."""

    trial_id: str
    started: Started | None
    ended: Ended
    num_replicates: int
    test_metrics: Mapping[str, float] | None

    @classmethod
    def of(cls, row: Mapping[str, Any], num_replicates: int) -> KnownTrial:
        """`row` is one of the table `trials`."""
        number, started_at, ended_at = row["number"], row["started_at"], row["ended_at"]
        started = None
        if started_at is not None:
            at = seconds_of(started_at)
            started = Started(number, row["pid"], row["host"], row["device"], row["config"], at)
        ended = Ended(
            number,
            State(row["state"]),
            metrics_of(row["metrics"]),
            row["reason"],
            row["traceback"],
            time=seconds_of(ended_at) if ended_at is not None else 0.0,
            is_feasible=row["is_feasible"],
        )
        tested = metrics_of(row["test_metrics"]) if row["test_metrics"] is not None else None
        return cls(row["trial_id"], started, ended, num_replicates, tested)


def seconds_of(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()
