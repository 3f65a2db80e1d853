"""What a trial costs beyond its own work: 100 trials that return at once, against Optuna's bare loop."""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks.measure import NUM_RUNS, Times, median, run_hpo, run_python, scratch, show, verdict

NUM_TRIALS = 100

# Optuna as it comes: its defaults, SQLite, one process, and nothing is run
_ASK_AND_TELL = f"""
import json, time, optuna
study = optuna.create_study(storage="sqlite:///study.db", sampler=optuna.samplers.TPESampler(seed=1))
times = []
for _ in range({NUM_TRIALS}):
    trial = study.ask()
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
    study.tell(trial, x * x + y * y)
    times.append(time.perf_counter())
print(json.dumps((times[-1] - times[0]) / (len(times) - 1)))
"""

_IMPORT_AND_CREATE = """
import hydra, optuna
optuna.create_study(storage="sqlite:///study.db")
"""


def main() -> None:
    ours, shown, theirs, our_starts, their_starts = [], [], [], [], []
    for _ in range(NUM_RUNS):
        with scratch() as folder:
            theirs.append(float(json.loads(run_python(folder, _ASK_AND_TELL)[1])))
            ours.append(_hpo_trial(folder, our_starts))
            shown.append(_hpo_trial_on_a_terminal(folder))
        with scratch() as folder:
            their_starts.append(run_python(folder, _IMPORT_AND_CREATE)[0])
    show(
        f"noop: {NUM_TRIALS} trials that return at once, 2 concurrent, TPE over two floats",
        [
            ("hpo, ms a trial after the first", f"{median(ours) * 1e3:.1f}"),
            ("Optuna's ask and tell on SQLite, ms a trial", f"{median(theirs) * 1e3:.1f}"),
            ("ratio", verdict(median(ours) / median(theirs), 1.0)),
            ("hpo with the live table on a terminal, ms a trial", f"{median(shown) * 1e3:.1f}"),
            ("ratio to hpo without it", verdict(median(shown) / median(ours), 1.1)),
            ("hpo, s from the command to the first trial's start", f"{median(our_starts):.2f}"),
            ("importing Hydra and Optuna and creating the study, s", f"{median(their_starts):.2f}"),
            ("ratio", verdict(median(our_starts) / median(their_starts), 1.5)),
        ],
    )


def _hpo_trial(folder: Path, starts: list[float]) -> float:
    times = run_hpo(folder, "+experiment=noop", f"total_trials={NUM_TRIALS}", "concurrent_trials=2")
    starts.append(min(times.started) - times.command)
    return _a_trial(times)


def _hpo_trial_on_a_terminal(folder: Path) -> float:
    overrides = ("+experiment=noop", f"total_trials={NUM_TRIALS}", "concurrent_trials=2", "verbose=progress")
    return _a_trial(run_hpo(folder, *overrides, on_a_terminal=True))


def _a_trial(times: Times) -> float:
    return (max(times.ended) - min(times.ended)) / (NUM_TRIALS - 1)


if __name__ == "__main__":
    main()
