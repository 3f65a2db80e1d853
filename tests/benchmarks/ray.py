"""What a trial costs on Ray, and how busy its slots are kept: hpo beside Ray Tune, which reuses its actors."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

from tests.benchmarks.measure import NUM_RUNS, Times, median, run_hpo, run_python, scratch, show, verdict
from tests.benchmarks.ragged import EVERY, LONG_S, SHORT_S, list_schedule
from tests.benchmarks.ragged import NUM_TRIALS as NUM_RAGGED

NUM_TRIALS = 100
_MAX_RATIO, _MAX_RAGGED = 1.0, 1.1
# processes that are reused, as Ray Tune reuses its actors
_KEPT = "hydra.launcher.trials_per_process=null"

# the same search, in memory; each trial notes when it began and ended
_TUNE = """
import json, os, time
import optuna, ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch

class Trial(tune.Trainable):
    def setup(self, config):
        self.config = config

    def reset_config(self, config):
        self.config = config
        return True

    # without them a trial is an error at its end, and its actor is not reused
    def save_checkpoint(self, directory):
        pass

    def load_checkpoint(self, state):
        pass

    def step(self):
        began = time.time()
        time.sleep(self.config["seconds"])
        loss = self.config["x"] ** 2 + self.config["y"] ** 2
        return {{"loss": loss, "began": began, "ended": time.time(), "done": True}}

ray.init(num_cpus={slots}, include_dashboard=False, log_to_driver=False, logging_level="error")
seconds = {seconds}
space = {{"x": tune.uniform(-5, 5), "y": tune.uniform(-5, 5)}}
if any(seconds):
    search = {{}}
    space["seconds"] = tune.grid_search(seconds)
else:
    sampler = optuna.samplers.TPESampler(seed=1)
    search = {{"search_alg": OptunaSearch(sampler=sampler), "num_samples": len(seconds)}}
    space["seconds"] = 0.0
tuner = tune.Tuner(
    tune.with_resources(Trial, {{"cpu": 1}}),
    param_space=space,
    # no max_concurrent_trials: no trial would be pending when one ends, and its actor might not be reused
    tune_config=tune.TuneConfig(reuse_actors=True, metric="loss", mode="min", **search),
    run_config=tune.RunConfig(storage_path=os.getcwd(), verbose=0),
)
results = tuner.fit()
assert not results.errors, results.errors[0]
results = [result.metrics for result in results]
print(json.dumps([[each["began"], each["ended"]] for each in results]))
"""


def main() -> None:
    missing = [name for name in ("ray", "pyarrow") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"ray: not measured, since {missing[0]} is not installed: pip install 'ray[tune]'")
        return
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    os.environ.pop("RAY_ADDRESS", None)
    ours, kept, theirs, local = [], [], [], []
    for _ in range(NUM_RUNS):
        with scratch() as folder:
            ours.append(_a_trial(_noop(folder, "hydra/launcher=ray").ended))
            kept.append(_a_trial(_noop(folder, "hydra/launcher=ray", _KEPT).ended))
            local.append(_a_trial(_noop(folder).ended))
            theirs.append(_a_trial([ended for _, ended in _tune(folder, [0.0] * NUM_TRIALS, 2)]))
    show(
        f"ray noop: {NUM_TRIALS} trials that return at once, 2 concurrent, TPE over two floats",
        [
            ("hpo, hydra/launcher=ray, with processes reused, ms a trial", f"{median(kept) * 1e3:.1f}"),
            ("Ray Tune with reused actors, its study in memory, ms a trial", f"{median(theirs) * 1e3:.1f}"),
            ("ratio", verdict(median(kept) / median(theirs), _MAX_RATIO)),
            ("hpo, a process for each trial, ms a trial", f"{median(ours) * 1e3:.1f}"),
            ("ratio of that", f"{median(ours) / median(theirs):.3g}"),
            ("hpo, hydra/launcher=local, a process for each trial, ms a trial", f"{median(local) * 1e3:.1f}"),
        ],
    )
    _ragged()


def _ragged() -> None:
    rows = []
    durations = [LONG_S if number % EVERY == 0 else SHORT_S for number in range(NUM_RAGGED)]
    for num_slots in (2, 8):
        ideal = list_schedule(num_slots)
        ours, theirs = [], []
        for _ in range(NUM_RUNS):
            with scratch() as folder:
                times = run_hpo(
                    folder,
                    *("+experiment=sleep", f"total_trials={NUM_RAGGED}", f"concurrent_trials={num_slots}"),
                    *(f"task.short_s={SHORT_S}", f"task.long_s={LONG_S}", f"task.every={EVERY}"),
                    "hydra/launcher=ray",
                )
                ours.append(max(times.ended) - min(times.started))
                spans = _tune(folder, durations, num_slots)
                theirs.append(max(ended for _, ended in spans) - min(began for began, _ in spans))
        rows += [
            (f"{num_slots} concurrent, makespan in s (ideal {ideal:.2f})", f"{median(ours):.2f}"),
            ("ratio", verdict(median(ours) / ideal, _MAX_RAGGED)),
            ("Ray Tune with reused actors, ratio", f"{median(theirs) / ideal:.3g}"),
        ]
    show(f"ray ragged: {NUM_RAGGED} trials of {SHORT_S} s, every fourth {LONG_S} s", rows)


def _noop(folder: Path, *overrides: str) -> Times:
    return run_hpo(folder, "+experiment=noop", f"total_trials={NUM_TRIALS}", "concurrent_trials=2", *overrides)


def _a_trial(ended: list[float]) -> float:
    """The mean time between two ends, in seconds."""
    return (max(ended) - min(ended)) / (len(ended) - 1)


def _tune(folder: Path, seconds: list[float], num_slots: int) -> list[tuple[float, float]]:
    """When each trial of Ray Tune began and ended."""
    printed = run_python(folder, _TUNE.format(slots=num_slots, seconds=seconds))[1]
    spans: list[tuple[float, float]] = json.loads(printed.splitlines()[-1])
    return spans


if __name__ == "__main__":
    main()
