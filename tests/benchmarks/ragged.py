"""How well slots are kept busy: 40 trials that sleep 0.2 s, every fourth of them 2 s."""

from __future__ import annotations

import heapq

from tests.benchmarks.measure import NUM_RUNS, median, run_hpo, scratch, show, verdict

NUM_TRIALS = 40
SHORT_S, LONG_S, EVERY = 0.2, 2.0, 4


def main() -> None:
    rows = []
    for num_slots in (2, 8):
        ideal = list_schedule(num_slots)
        makespans = []
        for _ in range(NUM_RUNS):
            with scratch() as folder:
                times = run_hpo(
                    folder,
                    *("+experiment=sleep", f"total_trials={NUM_TRIALS}", f"concurrent_trials={num_slots}"),
                    *(f"task.short_s={SHORT_S}", f"task.long_s={LONG_S}", f"task.every={EVERY}"),
                )
            makespans.append(max(times.ended) - min(times.started))
        rows.append((f"{num_slots} concurrent, makespan in s (ideal {ideal:.2f})", f"{median(makespans):.2f}"))
        rows.append(("ratio", verdict(median(makespans) / ideal, 1.05)))
    show(f"ragged: {NUM_TRIALS} trials of {SHORT_S} s, every fourth {LONG_S} s", rows)


def list_schedule(num_slots: int) -> float:
    """The makespan, in seconds, when each trial starts on the slot that is free first and costs nothing."""
    slots = [0.0] * num_slots
    for number in range(NUM_TRIALS):
        duration = LONG_S if number % EVERY == 0 else SHORT_S
        heapq.heapreplace(slots, slots[0] + duration)
    return max(slots)


if __name__ == "__main__":
    main()
