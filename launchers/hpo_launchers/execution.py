"""Runs one job under Hydra and says how it ended, in whatever process it is called."""

from __future__ import annotations

import os
import socket
import traceback
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hpo.records import Ended, Started, State

_RUN_CONFIG_KEYS = frozenset(("search_space", "experiment_dir", "run_task"))


class TaskExited(Exception):
    """A task called `sys.exit`, or was interrupted: Hydra lets both through, and the sweep must go on."""


def is_run_config(config: DictConfig) -> bool:
    """Whether `config` is hpo's; the configuration of a foreign Hydra application is not."""
    return _RUN_CONFIG_KEYS.issubset(config)


def uses_hpo_sweeper(config: DictConfig) -> bool:
    """Whether hpo's own sweeper drives the launcher, and so opens the experiment."""
    from hpo.search.sweeper import TARGET

    return bool(OmegaConf.select(config, "hydra.sweeper._target_") == TARGET)


def run(
    config: DictConfig, context: HydraContext, task_function: TaskFunction, *, interruptible: bool
) -> JobReturn:
    """Run the job in its directory; a SystemExit fails it, and so does Ctrl-C unless `interruptible`."""
    try:
        return run_job(
            hydra_context=context,
            task_function=task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    except (KeyboardInterrupt, SystemExit) as error:
        if interruptible and isinstance(error, KeyboardInterrupt):
            raise
        overrides: Any = OmegaConf.to_container(config.hydra.overrides.task)
        exited = TaskExited(_spelled(error))
        exited.__cause__ = error
        return failed_return(exited, overrides)


def failed_return(error: BaseException, overrides: Any = None) -> JobReturn:
    """What Hydra's sweepers are told of a job that left no JobReturn of its own."""
    return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=error)


def started(number: int) -> Started:
    """What is known of a trial whose task does not speak of itself: a foreign application's."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return Started(number, os.getpid(), socket.gethostname(), f"cuda:{visible}" if visible else "cpu")


def ended(number: int, result: JobReturn) -> Ended:
    """The end of a trial whose task did not speak of it."""
    if result.status is JobStatus.COMPLETED:
        return Ended(number, State.COMPLETE, result=result)
    return failure(number, result._return_value, result)


def failure(number: int, error: BaseException, result: JobReturn | None = None) -> Ended:
    lines = "".join(traceback.format_exception(error))
    return Ended(number, State.FAIL, reason=_spelled(error), traceback=lines, result=result)


def _spelled(error: BaseException) -> str:
    """`error` in one line."""
    if isinstance(error, TaskExited):
        return str(error)
    if isinstance(error, SystemExit):
        return f"the task called sys.exit({error.code!r})"
    if isinstance(error, KeyboardInterrupt):
        return "the task was interrupted: KeyboardInterrupt"
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
