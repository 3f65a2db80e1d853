"""Snapshots to be drawn."""

from __future__ import annotations

from typing import Any

from hpo.progress.snapshot import Best, EndedTrial, RunningTrial, Snapshot, Standing, Warned
from hpo.records import State

NOW = 1_700_000_000.0


def running(number: int, **values: Any) -> RunningTrial:
    default: dict[str, Any] = {
        "started": NOW - 63.0,
        "device": "cuda:0",
        "epoch": 3,
        "epochs": 10,
        "iteration": 300,
        "iterations": 1000,
        "speed": 812.4,
        "memory": 312 * 2**20,
        "metrics": {"train_loss": 0.5, "val_loss": 0.25, "val_accuracy": 0.9, "learning_rate": 0.1},
    }
    return RunningTrial(number, **(default | values))


def snapshot(
    num_shown: int = 2, num_complete: int = 11, *, num_running: int | None = None, **values: Any
) -> Snapshot:
    num_running = num_shown if num_running is None else num_running
    ended = (
        EndedTrial(12, State.FAIL, NOW - 9.0, NOW - 7.0, "cuda:1", {}, "ValueError: no"),
        EndedTrial(
            11, State.PRUNED_POOR_PERFORMANCE, NOW - 9.0, NOW - 8.0, "cuda:0", {"val_loss": 0.5}, "stopped"
        ),
        EndedTrial(10, State.COMPLETE, NOW - 90.0, NOW - 9.0, "cuda:0", {"val_loss": 0.3}),
    )
    counts = {State.RUNNING: num_running, State.COMPLETE: num_complete, State.FAIL: 1}
    counts[State.PRUNED_POOR_PERFORMANCE] = 1
    default: dict[str, Any] = {
        "objectives": ("val_loss",),
        "standing": Standing(counts, Best("0007_1f3a", "val_loss", 0.23471)),
        "total": 20,
        "elapsed_s": 221.0,
        "left_s": 130.0,
        "running": tuple(running(20 + index) for index in range(num_shown)),
        "num_running": num_running,
        "ended": ended,
        "warning": Warned(NOW, "trial 0012_ab12 FAIL after 2.0 s: ValueError: no"),
        "time": NOW,
    }
    return Snapshot("1901_aa90", "/tmp/experiment_1901_aa90", **(default | values))
