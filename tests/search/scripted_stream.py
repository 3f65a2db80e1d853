from __future__ import annotations

from collections.abc import Callable, Mapping

from hpo.records import Ended, Event, Report, Started, State, Stop, TrialSpec
from hpo.search.stream import Hear


class ScriptedStream:
    """A Stream in which trials run as long as the script says; keeps the order of what is asked of it.

    `durations[number]` is how many calls of `wait` a trial takes (1 unless told); what it reports and how it
    ends is `outcome(number)`: metrics, or None for a failure.
    """

    def __init__(
        self,
        capacity: int,
        outcome: Callable[[int], Mapping[str, float] | None],
        durations: Mapping[int, int] | None = None,
        num_reports: int = 1,
    ) -> None:
        self.capacity = capacity
        self.calls: list[str] = []
        self.submitted: list[TrialSpec] = []
        self.most_running = 0
        self._outcome = outcome
        self._durations = durations or {}
        self._num_reports = num_reports
        self._left: dict[int, int] = {}

    def submit(self, spec: TrialSpec) -> None:
        self.calls.append(f"submit {spec.number}")
        self.submitted.append(spec)
        self._left[spec.number] = self._durations.get(spec.number, 1)
        self.most_running = max(self.most_running, len(self._left))

    def wait(self, hear: Hear, timeout_s: float | None = None) -> None:
        events: list[Event] = []
        for number in list(self._left):
            self._left[number] -= 1
            if self._left[number] == 0:
                del self._left[number]
                self.calls.append(f"end {number}")
                events += self._events(number)
        for event in events:
            hear(event)

    def stop(self, number: int, why: Stop) -> None:
        self.calls.append(f"{why} {number}")

    def kill(self, number: int, reason: str) -> None:
        self.calls.append(f"kill {number}")

    def close(self) -> None:
        self.calls.append("close")

    def _events(self, number: int) -> list[Event]:
        metrics = self._outcome(number)
        started = Started(number, pid=1, host="here", device="cpu")
        if metrics is None:
            return [started, Ended(number, State.FAIL, reason="ValueError: no", traceback="Traceback ...")]
        reports = [Report(number, step, metrics) for step in range(1, self._num_reports + 1)]
        return [started, *reports, Ended(number, State.COMPLETE, metrics)]
