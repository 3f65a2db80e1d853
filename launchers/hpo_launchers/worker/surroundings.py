"""The scheduler's process as its jobs expect it, and how another process becomes like it."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hpo.resolvers import own_resolvers
from hpo.stores import KEYS, SECRET_VARIABLES, variables
from hpo.terminal import open_what_is_closed
from hpo_launchers import _hydra, execution

_FULL_ERROR = "HYDRA_FULL_ERROR"


@dataclass(frozen=True)
class Surroundings:
    """What all trials of a launcher share: the scheduler's process as a job expects it, and the task."""

    environment: Mapping[str, str]
    working_directory: str
    path: tuple[str, ...]
    arguments: tuple[str, ...]
    # pickled by cloudpickle: (task function, callbacks, execution whitelist, job name, resolvers)
    job: bytes
    wants_result: bool


def secrets_of(config: DictConfig) -> tuple[str, ...]:
    """The variables of the environment that tell how the databases are entered; no trial and no file has them."""
    urls = _urls_of(config)
    return (*SECRET_VARIABLES, *variables(urls)) if urls else ()


def _urls_of(config: DictConfig) -> list[str]:
    """Those of the databases, as they are written."""
    if not execution.is_run_config(config):
        return []
    written: Any = OmegaConf.to_container(OmegaConf.masked_copy(config, list(KEYS)), resolve=False)
    return [str(url) for url in written.values() if url is not None]


def surroundings_of(
    context: HydraContext, task_function: TaskFunction, config: DictConfig, *, wants_result: bool
) -> bytes:
    """This process as it is now, for the trials that start from now on, pickled."""
    environment = dict(os.environ)
    if execution.is_run_config(config):
        # set by hpo's command for itself
        environment.pop(_FULL_ERROR, None)
        # a trial has nothing to do with the databases, and these words may be written to a shared file
        for name in secrets_of(config):
            environment.pop(name, None)
        # what Hydra notes of the command line names them, and is resolved
        environment |= dict.fromkeys(variables(_urls_of(config)), "")
    job = (
        task_function,
        context.callbacks,
        context.execution_whitelist,
        _hydra.job_name(),
        own_resolvers(),
    )
    surroundings = Surroundings(
        environment=environment,
        working_directory=str(Path.cwd()),
        path=tuple(sys.path),
        arguments=tuple(sys.argv),
        job=cloudpickle.dumps(job),
        wants_result=wants_result,
    )
    return pickle.dumps(surroundings, protocol=pickle.HIGHEST_PROTOCOL)


def settle(surroundings: Surroundings) -> None:
    """Make this process like the scheduler's: its environment, directory, path and arguments."""
    os.environ.clear()
    os.environ.update(surroundings.environment)
    os.chdir(surroundings.working_directory)
    sys.path[:] = surroundings.path
    sys.argv[:] = surroundings.arguments
    open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # what a trial printed must be there when it dies; typed as TextIO, they are TextIOWrapper
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
