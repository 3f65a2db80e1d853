from __future__ import annotations

import math

from hpo.records import Event, Stop


class Collecting:
    """A link that keeps what goes up, and asks to stop after so many events."""

    def __init__(self, stop_after: float = math.inf, why: Stop = Stop.PRUNE) -> None:
        self.events: list[Event] = []
        self.why = why
        self.stop_after = stop_after

    def send(self, event: Event) -> None:
        self.events.append(event)

    def stop_requested(self) -> Stop | None:
        return self.why if len(self.events) >= self.stop_after else None
