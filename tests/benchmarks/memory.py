"""Proportional set size of a trial beyond the preloaded server's, and of the whole process tree.

The spare process that waits for the next trial counts as a part of those that run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks.measure import NUM_RUNS, command, median, scratch, show, verdict

_MNIST10K = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist10k"
_NUM_SLOTS = 2


@dataclass(frozen=True)
class Sample:
    """PSS at one moment, in MiB."""

    scheduler: float
    server: float
    trials: tuple[float, ...]


def main() -> None:
    if not sys.platform.startswith("linux"):
        show("memory", [("skipped", "proportional set size is read from Linux's /proc")])
        return
    rows = []
    holding = ("+experiment=sleep", "task.short_s=2", "task.long_s=2", "total_trials=2")
    rows += _measure("noop", holding, trial_goal=60, tree_goal=None)
    mnist = ("+experiment=mnist", f"data_config.root={_MNIST10K}", "total_trials=2", "train_config.epochs=4")
    rows += _measure("mnist", mnist, trial_goal=None, tree_goal=450)
    show(f"memory: PSS, {_NUM_SLOTS} concurrent trials", rows)


def _measure(
    name: str, overrides: tuple[str, ...], *, trial_goal: float | None, tree_goal: float | None
) -> list[tuple[str, str]]:
    trials, trees, servers = [], [], []
    for _ in range(NUM_RUNS):
        with scratch() as folder:
            samples = list(_samples([*command(folder, *overrides), f"concurrent_trials={_NUM_SLOTS}"]))
        first = next(index for index, sample in enumerate(samples) if sample.trials)
        alone = max(sample.server for sample in samples[:first])
        # with the spare process that waits for the next trial, which is part of what these take
        busy = [sample for sample in samples if len(sample.trials) >= _NUM_SLOTS]
        trials.append(max((sample.server + sum(sample.trials) - alone) / _NUM_SLOTS for sample in busy))
        trees.append(max(sample.scheduler + sample.server + sum(sample.trials) for sample in busy))
        servers.append(alone)
    return [
        (f"{name}: the server before its first trial, MiB", f"{median(servers):.0f}"),
        (f"{name}: a trial beyond it", _judged(median(trials), trial_goal)),
        (f"{name}: the whole tree", _judged(median(trees), tree_goal)),
    ]


def _judged(value: float, goal: float | None) -> str:
    return f"{value:.0f} MiB" if goal is None else verdict(value, goal, " MiB")


def _samples(arguments: list[str]) -> Iterator[Sample]:
    """Samples of the command's process tree, as often as it can be read, until it ends."""
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
        scheduler = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                yield _sample(scheduler)
            except (psutil.Error, ProcessLookupError, FileNotFoundError):
                continue  # a process ended while it was read


def _sample(scheduler: psutil.Process) -> Sample:
    """The forkserver is the child that has children; trials are those children and what they started."""
    children = scheduler.children()
    forked = [trial for child in children for trial in child.children()]
    trials = [_pss(trial) + sum(map(_pss, trial.children(recursive=True))) for trial in forked]
    return Sample(_pss(scheduler), sum(map(_pss, children)), tuple(trials))


def _pss(process: psutil.Process) -> float:
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
