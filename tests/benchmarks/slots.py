"""What one scheduler can feed: simulated workers, so that all the time is the scheduler's own."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.benchmarks.measure import NUM_RUNS, median, scratch, show

_MANY_TRIALS, _SLOTS = 10_000, 100
_REPORTS, _REPORTING_TRIALS = 60, 1_000
# watched with a clock, each slot with a report a second
_WATCHED_SLOTS, _WATCHED_REPORTS = 1_000, 20


def main() -> None:
    """The 10,000 trials run once, which takes a minute; the others three times."""
    many = _simulated(_SLOTS, _MANY_TRIALS, 1, 0.0)
    reporting = [_simulated(_SLOTS, _REPORTING_TRIALS, _REPORTS, 0.0) for _ in range(NUM_RUNS)]
    watched = [_simulated(_WATCHED_SLOTS, _WATCHED_SLOTS, _WATCHED_REPORTS, 1.0) for _ in range(NUM_RUNS)]
    a_trial_s = median([each["cpu_s"] for each in reporting]) / _REPORTING_TRIALS
    show(
        f"slots: {_SLOTS} simulated slots, random search over two floats, both databases and a directory a trial",
        [
            (f"{_MANY_TRIALS} trials, scheduler's CPU in ms a trial", f"{many['cpu_s'] / _MANY_TRIALS * 1e3:.2f}"),
            ("  its memory at the end, MiB", f"{many['memory_mib']:.0f}"),
            (f"trials of {_REPORTS} reports, scheduler's CPU in ms a trial", f"{a_trial_s * 1e3:.2f}"),
            ("  slots with a report a second that fill one core", f"{_REPORTS / a_trial_s:.0f}"),
            (
                f"{_WATCHED_SLOTS} slots with a report a second: 99 % are heard within, s",
                f"{median([each['late_s'] for each in watched]):.2f}",
            ),
            ("  and take of one core, %", f"{median([_share(each) for each in watched]):.0f}"),
        ],
    )


def _share(run: dict[str, float]) -> float:
    return 100 * run["cpu_s"] / run["wall_s"]


def _simulated(slots: int, trials: int, num_reports: int, period_s: float) -> dict[str, float]:
    with scratch() as folder:
        words = [str(folder), str(slots), str(trials), str(num_reports), str(period_s)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.simulated", *words],
            check=True,
            capture_output=True,
            text=True,
        )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
