"""What a trial costs in jobs of Slurm: trials that return at once, in jobs of their own and in shared ones."""

from __future__ import annotations

import os
from pathlib import Path

from tests.benchmarks.measure import run_hpo, scratch, show
from tests.launchers.slurm.cluster import missing, running_cluster

NUM_TRIALS = 40
_POLLS_S = (0.5, 0.05)


def main() -> None:
    problem = missing()
    if problem is not None:
        print(f"slurm: not measured, since a Slurm cluster on this machine {problem}")
        return
    with running_cluster() as cluster, scratch() as folder:
        os.environ.update(cluster.environment)
        single = _a_trial(folder, 1, _POLLS_S[0])
        many = [_a_trial(folder, NUM_TRIALS, poll_s) for poll_s in _POLLS_S]
    show(
        f"slurm: {NUM_TRIALS} trials that return at once, 2 jobs at a time, two nodes on this machine",
        [
            ("a job for each trial, ms a trial", f"{single * 1e3:.0f}"),
            *(
                (f"jobs that run many trials, poll_s={poll_s}, ms a trial", f"{each * 1e3:.0f}")
                for poll_s, each in zip(_POLLS_S, many, strict=True)
            ),
        ],
    )


def _a_trial(folder: Path, trials_per_job: int, poll_s: float) -> float:
    """The mean time between two ends, in seconds."""
    times = run_hpo(
        folder,
        *("+experiment=noop", "hydra/launcher=slurm", f"total_trials={NUM_TRIALS}", "concurrent_trials=2"),
        *(f"hydra.launcher.trials_per_job={trials_per_job}", f"hydra.launcher.poll_s={poll_s}"),
    )
    ended = sorted(times.ended)
    return (ended[-1] - ended[0]) / (len(ended) - 1)


if __name__ == "__main__":
    main()
