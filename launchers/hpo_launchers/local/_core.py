"""Opens the stream of local processes for a launcher that Hydra has set up."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hpo.errors import ConfigError
from hpo.resources import is_constant, need_of
from hpo_launchers import execution
from hpo_launchers.jobs import Composer, Composing
from hpo_launchers.local._machine import find_machine, host_memory_mb, own_cores
from hpo_launchers.local._packing import Machine
from hpo_launchers.local._placing import Placing, most_at_once
from hpo_launchers.local._preload import modules_for
from hpo_launchers.local._processes import Processes
from hpo_launchers.local._stream import LocalStream
from hpo_launchers.worker.surroundings import secrets_of, surroundings_of

_START_METHODS = ("forkserver", "spawn")


def open_stream(
    owner: Any,
    context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    *,
    concurrency: int | None,
    start_method: str,
    preload: list[str],
    stop_timeout_s: float,
    trials_per_process: int | None = 1,
    devices: DictConfig | None = None,
) -> LocalStream:
    """Start the server, and return the stream, which is closed when `owner` or this process comes to its end.

    Raises ConfigError for what cannot be, and for trials that need more than there is.
    """
    if start_method not in _START_METHODS:
        raise ConfigError(
            f"hydra.launcher.start_method={start_method} is not known; allowed are {' and '.join(_START_METHODS)}"
        )
    if concurrency is not None and concurrency < 1:
        raise ConfigError(
            f"hydra.launcher.concurrency (concurrent_trials) must be at least 1 but got {concurrency}"
        )
    check_trials_per_process(trials_per_process)
    capacity = concurrency or len(own_cores())
    placing, capacity = _placing(config, devices, capacity)
    is_forking = start_method == "forkserver"
    modules = [*modules_for(config), *preload] if is_forking else []
    stream = LocalStream(
        Composer(context.config_loader, config),
        lambda: Processes(modules, is_forking=is_forking, secrets=secrets_of(config)),
        lambda wants_result: surroundings_of(context, task_function, config, wants_result=wants_result),
        placing,
        capacity=capacity,
        stop_timeout_s=stop_timeout_s,
        trials_per_process=trials_per_process,
    )
    # Hydra tells a launcher when to begin, and never when its sweep is over
    weakref.finalize(owner, stream.close)
    return stream


def bare_stream(
    composer: Composing,
    modules: Sequence[str],
    surroundings: Callable[[bool], bytes],
    *,
    stop_timeout_s: float,
    trials_per_process: int | None = 1,
) -> LocalStream:
    """One trial at a time, which has all that this process may use: for what has no say over this machine."""
    return LocalStream(
        composer,
        lambda: Processes(modules, is_forking=True),
        surroundings,
        Placing(Machine(own_cores(), host_memory_mb()), names_gpus=False),
        capacity=1,
        stop_timeout_s=stop_timeout_s,
        trials_per_process=trials_per_process,
    )


def check_trials_per_process(number: int | None) -> None:
    """Raises ConfigError for a number that cannot be."""
    if number is not None and number < 1:
        raise ConfigError(
            f"hydra.launcher.trials_per_process={number} must be at least 1, or null for any number of trials"
        )


def _placing(config: DictConfig, devices: DictConfig | None, limit: int) -> tuple[Placing, int]:
    """Where trials run, and how many at a time, at most `limit`; those of a foreign application see every GPU."""
    if not execution.is_run_config(config):
        return Placing(Machine(own_cores(), host_memory_mb()), names_gpus=False), limit
    need = need_of(config) if is_constant(config) else None
    uses_resources = need is None or not need.is_nothing
    machine, probe, environment = find_machine(config.device, devices, uses_resources=uses_resources)
    placing = Placing(machine, probe, names_gpus=True, environment=environment)
    if need is None:
        # they differ, and wait in line, so that a small one finds the place that a large one leaves
        return placing, limit
    problem = placing.problem(need)
    if problem is not None:
        raise ConfigError(problem)
    return placing, most_at_once(machine, need, limit)
