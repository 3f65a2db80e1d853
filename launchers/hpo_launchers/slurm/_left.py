"""What an earlier scheduler has left with Slurm, for launchers that know nothing of its jobs."""

from __future__ import annotations

import shutil
from pathlib import Path

from hpo.errors import ConfigError
from hpo.paths import SlurmPaths
from hpo_launchers.slurm._commands import SlurmError, job_name, states_of

_MAX_NAMED = 10


def check_left(directory: Path) -> None:
    """Raises ConfigError where jobs of the experiment still run, or wait to: their trials would be run twice."""
    paths = SlurmPaths.below(directory)
    job_ids = [paths.job_of(path) for path in paths.submitted]
    if not job_ids or shutil.which("squeue") is None:
        return
    try:
        states = states_of(job_name(directory), job_ids)
    except SlurmError as error:
        raise ConfigError(
            f"Slurm does not say whether jobs of {directory} still run ({error}), whose trials would be run twice"
        ) from error
    alive = sorted(job_id for job_id, state in states.items() if state.is_alive)
    if alive:
        named = " ".join(alive[:_MAX_NAMED]) + (" ..." if len(alive) > _MAX_NAMED else "")
        raise ConfigError(
            f"{len(alive)} jobs of Slurm still run trials of {directory}, or wait to ({named}), which would be "
            f"run twice: resume it with hydra/launcher=slurm, or end them: scancel --name={job_name(directory)}"
        )
