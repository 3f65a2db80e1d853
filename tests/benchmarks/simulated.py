"""A search whose workers are simulated: only the scheduler works. Prints what that took, as JSON.

Arguments: folder, slots, trials, reports of each trial, seconds between two reports (0: at once).
"""

from __future__ import annotations

import heapq
import json
import resource
import sys
import time
from pathlib import Path

from hydra import compose, initialize_config_module
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.types import HydraContext

import hpo.app  # noqa: F401 - registers the schema and the resolvers
from hpo.records import Ended, Event, Report, Started, State, Stop, TrialSpec
from hpo.search.stream import Hear
from hpo.targets import BUILT_IN


class Simulated:
    """A hpo.search.stream.Stream in whose slots nothing runs: events are due at their times."""

    def __init__(self, capacity: int, num_reports: int, period_s: float) -> None:
        self.capacity = capacity
        self.lateness_s: list[float] = []
        self._num_reports = num_reports
        self._period_s = period_s
        self._due: list[tuple[float, int, Event]] = []
        self._count = 0

    def submit(self, spec: TrialSpec) -> None:
        now = time.monotonic()
        number = spec.number
        self._add(now, Started(number, 1, "simulated", "cpu"))
        for step in range(1, self._num_reports + 1):
            metrics = {
                "loss": 1.0 / step + number % 7,
                "current_iteration": step,
                "total_steps": self._num_reports,
            }
            self._add(now + step * self._period_s, Report(number, step, metrics))
        ended = Ended(number, State.COMPLETE, {"loss": float(number % 7)})
        self._add(now + (self._num_reports + 1) * self._period_s, ended)

    def wait(self, hear: Hear, timeout_s: float | None = None) -> None:
        if not self._due:
            return
        until_s = self._due[0][0] - time.monotonic()
        if until_s > 0:
            time.sleep(until_s if timeout_s is None else min(until_s, timeout_s))
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due, _, event = heapq.heappop(self._due)
            self.lateness_s.append(time.monotonic() - due)
            hear(event)

    def stop(self, number: int, why: Stop) -> None:
        """Nothing loses."""

    def kill(self, number: int, reason: str, state: State = State.FAIL) -> None:
        """Nothing hangs."""

    def close(self) -> None:
        """Nothing runs."""

    def _add(self, due: float, event: Event) -> None:
        self._count += 1
        heapq.heappush(self._due, (due, self._count, event))


def main() -> None:
    folder, slots, trials, num_reports, period_s = (
        read(text) for read, text in zip(_READ, sys.argv[1:], strict=True)
    )
    from hpo.search.sweep import sweep

    with initialize_config_module("hpo.conf", job_name="hpo"):
        overrides = [
            *("+experiment=noop", "hydra.mode=MULTIRUN", "verbose=silent", "hydra/sweeper/sampler=random"),
            *(f"experiment_dir={folder}", f"total_trials={trials}", f"concurrent_trials={slots}"),
            *("duplicates=run", "threads_per_trial=1", "resources_per_trial.cpus=null"),
        ]
        config = compose("default_config", overrides=overrides, return_hydra_config=True)
        context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks(), BUILT_IN)
        stream = Simulated(slots, num_reports, period_s)
        begun, cpu = time.monotonic(), time.process_time()
        sweep(config, context, stream, config.hydra.sweeper.sampler, [])  # type: ignore[arg-type] # it is a Stream
    late = sorted(stream.lateness_s)
    print(
        json.dumps(
            {
                "wall_s": time.monotonic() - begun,
                "cpu_s": time.process_time() - cpu,
                "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "late_s": late[len(late) * 99 // 100],
            }
        )
    )


_READ = (Path, int, int, int, float)

if __name__ == "__main__":
    main()
