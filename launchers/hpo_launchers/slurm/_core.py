"""Opens the stream of Slurm's jobs for a launcher that Hydra has set up."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Mapping
from typing import Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hpo.errors import ConfigError
from hpo.resources import NOTHING, is_constant, need_of
from hpo.search.stream import Stream
from hpo_launchers import execution
from hpo_launchers.jobs import Composer
from hpo_launchers.local._core import bare_stream
from hpo_launchers.local._preload import modules_for
from hpo_launchers.slurm._commands import check_commands
from hpo_launchers.slurm._fleet import Fleet
from hpo_launchers.slurm._setup import Setup
from hpo_launchers.slurm._stream import SlurmStream
from hpo_launchers.slurm._submission import Submission
from hpo_launchers.worker.composing import Needless
from hpo_launchers.worker.options import plain
from hpo_launchers.worker.surroundings import secrets_of, surroundings_of

_CONCURRENCY = 64
_POSITIVE = (
    *("concurrency", "trials_per_job", "trials_per_process", "poll_s", "queue_poll_s"),
    *("signal_delay_s", "cpus_per_task", "mem_mb"),
)

_OF_A_JOB = ("trials_per_job", "trials_per_process", "idle_s", "poll_s", "stop_timeout_s", "requeue")


def open_stream(
    owner: Any,
    context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    given: Mapping[str, Any],
) -> SlurmStream:
    """The stream, which is closed when `owner` or this process comes to its end.

    Raises ConfigError for what cannot be, and for trials that Slurm would not run.
    """
    try:
        importlib.import_module("submitit")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"hydra/launcher=slurm needs {error.name}, which is not installed: pip install 'hpo[slurm]'"
        ) from error
    options = _plain(given)
    check_commands()
    submission = Submission(options, secrets_of(config))
    submission.check()
    composer = Composer(context.config_loader, config)
    modules = modules_for(config)

    def surroundings(wants_result: bool) -> bytes:
        return surroundings_of(context, task_function, config, wants_result=wants_result)

    def setup(name: str, kind: str) -> Setup:
        return Setup(name, kind, modules, **{key: options[key] for key in _OF_A_JOB})

    def nearby() -> Stream:
        return bare_stream(Needless(composer), modules, surroundings, stop_timeout_s=options["stop_timeout_s"])

    stream = SlurmStream(
        composer,
        Fleet(submission, surroundings, setup, options["trials_per_job"]),
        nearby,
        capacity=options["concurrency"] or _CONCURRENCY,
        **{key: options[key] for key in ("poll_s", "queue_poll_s", "stop_timeout_s")},
    )
    if not execution.is_run_config(config):
        problem = stream.misfit(NOTHING)
    else:
        problem = stream.misfit(need_of(config)) if is_constant(config) else None
    if problem is not None:
        raise ConfigError(problem)
    # Hydra tells a launcher when to begin, and never when its sweep is over
    weakref.finalize(owner, stream.close)
    return stream


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as plain values. Raises ConfigError for numbers that are too small."""
    options = plain(given, ("additional_parameters",))
    for key in _POSITIVE:
        if options[key] is not None and options[key] <= 0:
            raise ConfigError(f"hydra.launcher.{key}={options[key]} must be above 0")
    return options
