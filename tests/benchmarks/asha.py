"""What pruning saves: 40 random trials of 10 epochs on MNIST images, unpruned and with successive halving."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass
from pathlib import Path

from hpo.paths import TrialPaths
from tests.benchmarks.measure import command, median, query, run_python, scratch, show, verdict
from tests.conftest import REPOSITORY

NUM_TRIALS, NUM_EPOCHS = 40, 10
SEEDS = (1, 2, 3, 4, 5)
IMAGES = REPOSITORY.parent / "shared" / "data" / "mnist10k"
_GIVEN_UP = re.compile(r"given up by the pruner at iteration (\d+) of (\d+)")


@dataclass(frozen=True)
class Outcome:
    """One search: epochs trained by all trials together, seconds, the lowest val_loss."""

    epochs: float
    wall_s: float
    best: float


def main() -> None:
    if not IMAGES.exists():
        show("asha", [("skipped", "the MNIST images are not there")])
        return
    whole = [_search("none", seed) for seed in SEEDS]
    halved = [_search("asha", seed) for seed in SEEDS]
    epochs = [pruned.epochs / full.epochs for pruned, full in zip(halved, whole, strict=True)]
    walls = [pruned.wall_s / full.wall_s for pruned, full in zip(halved, whole, strict=True)]
    worse = [pruned.best / full.best - 1 for pruned, full in zip(halved, whole, strict=True)]
    show(
        f"asha: {NUM_TRIALS} random trials of {NUM_EPOCHS} epochs on mnist10k, 2 concurrent, seeds {SEEDS}",
        [
            ("epochs of pruner=none, median", f"{median([outcome.epochs for outcome in whole]):.0f}"),
            ("epochs of pruner=asha, each seed", ", ".join(f"{outcome.epochs:.0f}" for outcome in halved)),
            ("epochs, asha of none, median", verdict(median(epochs), 0.45)),
            ("wall-clock of pruner=none, s, median", f"{median([outcome.wall_s for outcome in whole]):.1f}"),
            ("wall-clock, asha of none, median", f"{median(walls):.3g}"),
            ("best val_loss, asha above none, each seed", ", ".join(f"{100 * part:.2g}%" for part in worse)),
            ("the worst of them", verdict(100 * max(worse), 1.0, "%")),
        ],
    )


def _search(pruner: str, seed: int) -> Outcome:
    with scratch() as folder:
        begun = time.perf_counter()
        overrides = (
            *("+experiment=mnist", f"data_config.root={IMAGES}", f"total_trials={NUM_TRIALS}"),
            *(f"train_config.epochs={NUM_EPOCHS}", "hydra/sweeper/sampler=random", f"random_seed={seed}"),
            *(f"pruner={pruner}", "concurrent_trials=2"),
        )
        run_python(folder, f"import subprocess; subprocess.run({command(folder, *overrides)!r}, check=True)")
        wall_s = time.perf_counter() - begun
        metrics = [json.loads(text) for (text,) in query(folder, "SELECT metrics FROM trials")]
        best = min(float(entry.get("val_loss", math.inf)) for entry in metrics)
        logs = folder.glob("experiments/*/*/train.log")
        return Outcome(sum(map(_epochs_trained, logs)), wall_s, best)


def _epochs_trained(log: Path) -> float:
    """Up to the last step, that is beyond the last evaluation where a trial was given up."""
    given_up = _GIVEN_UP.search(log.read_text(encoding="utf-8"))
    if given_up is not None:
        return NUM_EPOCHS * int(given_up[1]) / int(given_up[2])
    return float(json.loads(TrialPaths(log.parent).results.read_text(encoding="utf-8"))[-1]["current_epoch"])


if __name__ == "__main__":
    main()
