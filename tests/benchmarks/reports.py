"""How many reports a second go through: 8 trials that report as fast as they can, every file and database on."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from tests.benchmarks import report_task
from tests.benchmarks.measure import NUM_RUNS, command, median, query, scratch, show, verdict

NUM_TRIALS, SECONDS = 8, 10
_MODULE = "report_task"


def main() -> None:
    rates, held_ms, lost = [], [], 0
    for _ in range(NUM_RUNS):
        with scratch() as folder:
            sent, median_s, in_state, in_study = _run(folder)
        rates.append(min(in_state, in_study) / SECONDS)
        held_ms.append(median_s * 1e3)
        lost += 2 * sent - in_state - in_study
    show(
        f"reports: {NUM_TRIALS} concurrent trials for {SECONDS} s; results.json, CSV, TensorBoard, both databases",
        [
            ("reports a second, in both databases", f"{median(rates):.0f} (goal: at least 1000)"),
            ("reports lost in any run", str(lost)),
            ("what a report holds its trial up, median", verdict(median(held_ms), 0.3, " ms")),
        ],
    )


def _run(folder: Path) -> tuple[int, float, int, int]:
    """Reports sent, the median of their seconds over the trials, and how many stand in either database."""
    shutil.copy(str(report_task.__file__), folder / f"{_MODULE}.py")
    (folder / "pyproject.toml").write_text(f'[tool.hpo]\nallow_targets = ["{_MODULE}.*"]\n')
    overrides = (
        *("+experiment=noop", "recorder=csv", "~task.x", "~task.y", "search_space=none"),
        *(f"task._target_={_MODULE}.report_for", f"+task.seconds={SECONDS}", f"+task.num_trials={NUM_TRIALS}"),
        *(f"total_trials={NUM_TRIALS}", f"concurrent_trials={NUM_TRIALS}"),
    )
    subprocess.run(command(folder, *overrides), check=True, cwd=folder, stdout=subprocess.DEVNULL)
    metrics = [json.loads(text) for (text,) in query(folder, "SELECT metrics FROM trials")]
    ((in_state,),) = query(folder, "SELECT COUNT(*) FROM reports")
    (study,) = folder.glob("experiments/*/*_optuna.db")
    with closing(sqlite3.connect(study)) as connection:
        (in_study,) = connection.execute("SELECT COUNT(*) FROM trial_intermediate_values").fetchone()
    sent = sum(int(entry["num_reports"]) for entry in metrics)
    return sent, median([entry["median_s"] for entry in metrics]), int(in_state), int(in_study)


if __name__ == "__main__":
    main()
