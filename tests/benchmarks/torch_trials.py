"""What a torch trial costs beyond its computation: 10 trials of 10 steps, each in a process of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.benchmarks import torch_task
from tests.benchmarks.measure import NUM_RUNS, Times, median, run_hpo, run_python, scratch, show, verdict

NUM_TRIALS, NUM_SLOTS = 10, 2
_MODULE = "torch_task"
_WARM = """
import json, torch_task
print(json.dumps(torch_task.warm_seconds()))
"""


def main() -> None:
    overheads, first_steps, warms = [], [], []
    for _ in range(NUM_RUNS):
        with scratch() as folder:
            shutil.copy(str(torch_task.__file__), folder / f"{_MODULE}.py")
            (folder / "pyproject.toml").write_text(f'[tool.hpo]\nallow_targets = ["{_MODULE}.*"]\n')
            warm = float(run_python(folder, _WARM)[1])
            first_step, times = _run(folder)
        slot_time = NUM_SLOTS * (max(times.ended) - min(times.started)) / NUM_TRIALS
        overheads.append(slot_time - warm)
        first_steps.append(first_step - times.command)
        warms.append(warm)
    show(
        f"torch: {NUM_TRIALS} trials of 10 steps of an MLP 784-100-10, {NUM_SLOTS} concurrent",
        [
            ("warm computation, ms", f"{median(warms) * 1e3:.1f}"),
            ("slot time a trial beyond it", verdict(median(overheads) * 1e3, 100, " ms")),
            ("from the command to the first step", verdict(median(first_steps), 4, " s")),
        ],
    )


def _run(folder: Path) -> tuple[float, Times]:
    times = run_hpo(
        folder,
        *(f"task._target_={_MODULE}.train", "test_task=null", "data_config=none", "metrics=none"),
        *("model_config.hidden_size=100", "+optim_metrics.loss=min", "threads_per_trial=1"),
        *(f"total_trials={NUM_TRIALS}", f"concurrent_trials={NUM_SLOTS}"),
        *("optimizer_config.lr=tag(log,interval(1e-3,1e-1))",),
    )
    return min(json.loads(metrics)["first_step"] for metrics in times.metrics), times


if __name__ == "__main__":
    main()
