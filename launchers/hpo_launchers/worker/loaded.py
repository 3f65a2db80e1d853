"""A task and the configuration that its jobs share, ready for whatever job comes."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import DictConfig

from hpo.paths import TrialPaths
from hpo.trial.link import Link
from hpo_launchers import _hydra, execution
from hpo_launchers.jobs import Job
from hpo_launchers.worker.plain_job import PlainJob, is_plain
from hpo_launchers.worker.surroundings import Surroundings


class Loaded:
    """A template and the task, as far as they can be made ready for whatever job comes."""

    def __init__(self, surroundings: Surroundings, template: bytes) -> None:
        self._task_function, callbacks, whitelist, name, resolvers = cloudpickle.loads(surroundings.job)
        _hydra.restore(name, resolvers)
        self._config: DictConfig = pickle.loads(template)
        # no trial composes again, and a loader holds every configuration it has read; Hydra wants one by its type
        self._context = HydraContext(None, callbacks, whitelist)  # type: ignore[arg-type]
        self._is_foreign = not execution.is_run_config(self._config)
        self._plain_job: PlainJob | None = None
        if not (self._is_foreign or surroundings.wants_result) and is_plain(self._config):
            self._plain_job = PlainJob(template, self._config, whitelist)

    def run(self, job: Job, link: Link) -> JobReturn:
        if job.subdir is not None:
            write_into(Path(self._config.hydra.sweep.dir) / job.subdir)
        if self._plain_job is not None:
            return self._plain_job.run(job, self._task_function)
        job.set_params(self._config)
        job.set_hydra(self._config.hydra)
        if self._is_foreign:
            link.send(execution.started(job.number))
        return execution.run(self._config, self._context, self._task_function, interruptible=False)


def load(surroundings: Surroundings, template: bytes) -> Loaded | BaseException:
    """What cannot be loaded is told as the error of the trial that wants it."""
    try:
        return Loaded(surroundings, template)
    except BaseException as error:
        return error


def write_into(directory: Path) -> None:
    """Let what this process prints, and what it starts prints, go to the trial's log."""
    if directory.is_dir():
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(TrialPaths(directory).log, flags, 0o644)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)


def pickled(result: JobReturn) -> bytes:
    """A JobReturn for the scheduler; one that says so where it cannot be sent."""
    try:
        return bytes(cloudpickle.dumps(result))
    except Exception as error:
        described = TypeError(f"the job's return value cannot be sent to the scheduler: {error!r}")
        return bytes(cloudpickle.dumps(execution.failed_return(described, result.overrides)))


def unpickled(result: bytes | None) -> Any:
    """The JobReturn that a trial sent, in the scheduler; one that says so where it cannot be read."""
    try:
        return None if result is None else cloudpickle.loads(result)
    except Exception as error:
        return execution.failed_return(TypeError(f"the job's return value cannot be read here: {error!r}"))
