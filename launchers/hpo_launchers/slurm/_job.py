"""What submitit pickles for a job, and loads in it: as little as can be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SlurmJob:
    """Runs the orders of one job; `folder` is that of SlurmPaths."""

    folder: str
    key: str

    def __call__(self) -> None:
        from hpo.paths import SlurmPaths
        from hpo_launchers.slurm._pilot import run

        run(SlurmPaths(Path(self.folder)), self.key)
