"""Whether a search gets slower as it grows: 3,000 trials that return at once, TPE over 10 floats."""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks.measure import run_hpo, run_python, scratch, show, verdict

NUM_TRIALS, NUM_PARAMS, NUM_MEASURED = 3_000, 10, 300

# Optuna as it comes: its defaults, SQLite, one process, and nothing is run; it is brought to the size in memory
_ASK_AND_TELL = f"""
import json, time, optuna
optuna.logging.set_verbosity(optuna.logging.WARNING)
DISTRIBUTIONS = {{f"x{{i}}": optuna.distributions.FloatDistribution(-5, 5) for i in range({NUM_PARAMS})}}

def seconds_a_trial(num_before):
    study = optuna.create_study(
        storage=f"sqlite:///study_{{num_before}}.db", sampler=optuna.samplers.TPESampler(seed=1)
    )
    filler = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(num_before):
        trial = filler.ask(DISTRIBUTIONS)
        filler.tell(trial, sum(value**2 for value in trial.params.values()))
    study.add_trials(filler.trials)
    begun = time.perf_counter()
    for _ in range({NUM_MEASURED}):
        trial = study.ask(DISTRIBUTIONS)
        study.tell(trial, sum(value**2 for value in trial.params.values()))
    return (time.perf_counter() - begun) / {NUM_MEASURED}

print(json.dumps([seconds_a_trial(0), seconds_a_trial({NUM_TRIALS - NUM_MEASURED})]))
"""


def main() -> None:
    """One run: it takes minutes, and the two ends are means of hundreds of trials.

    Optuna is measured before and after it, and its better time counts: it waits for the disk in each trial, and so
    for whatever else uses it. All trials between the ends are run, since a search has no way to begin with them.
    """
    with scratch() as folder:
        theirs = [_optuna(folder / "before")]
        ours_first, ours_last = _hpo(folder)
        theirs.append(_optuna(folder / "after"))
    theirs_first, theirs_last = map(min, zip(*theirs, strict=True))
    show(
        f"scale: {NUM_TRIALS} trials that return at once, 2 concurrent, TPE over {NUM_PARAMS} floats",
        [
            (f"hpo, ms a trial, trials 1-{NUM_MEASURED}", f"{ours_first * 1e3:.1f}"),
            ("Optuna's ask and tell on SQLite at that size", f"{theirs_first * 1e3:.1f}"),
            ("ratio", verdict(ours_first / theirs_first, 1.0)),
            (f"hpo, ms a trial, trials {NUM_TRIALS - NUM_MEASURED + 1}-{NUM_TRIALS}", f"{ours_last * 1e3:.1f}"),
            ("Optuna's ask and tell on SQLite at that size", f"{theirs_last * 1e3:.1f}"),
            ("ratio", verdict(ours_last / theirs_last, 1.0)),
        ],
    )


def _optuna(folder: Path) -> tuple[float, float]:
    """Seconds a trial at either end."""
    folder.mkdir()
    first, last = json.loads(run_python(folder, _ASK_AND_TELL)[1])
    return first, last


def _hpo(folder: Path) -> tuple[float, float]:
    """Seconds a trial at either end, by the times of their ends."""
    sweeps = [f"+task.x{number}=interval(-5,5)" for number in range(NUM_PARAMS)]
    times = run_hpo(
        folder,
        *("+experiment=noop", "search_space=none", f"total_trials={NUM_TRIALS}", "concurrent_trials=2"),
        *sweeps,
    )
    ends = sorted(times.ended)
    return _rate(ends[:NUM_MEASURED]), _rate(ends[-NUM_MEASURED:])


def _rate(ends: list[float]) -> float:
    return (ends[-1] - ends[0]) / (len(ends) - 1)


if __name__ == "__main__":
    main()
