"""Where the trial of a job has its directory."""

from __future__ import annotations

import pickle
from pathlib import Path

from omegaconf import DictConfig

from hpo_launchers.jobs import Job


class Directories:
    """Reads each template once; its jobs differ in the last part alone."""

    def __init__(self) -> None:
        # by identity: the template is kept, so that it is nobody else's
        self._known: dict[int, tuple[bytes, Path]] = {}

    def of(self, job: Job) -> Path | None:
        """None where Hydra chooses it."""
        if job.subdir is None:
            return None
        known = self._known.get(id(job.template))
        if known is None:
            config: DictConfig = pickle.loads(job.template)
            known = self._known[id(job.template)] = job.template, Path(config.hydra.sweep.dir).absolute()
        return known[1] / job.subdir
