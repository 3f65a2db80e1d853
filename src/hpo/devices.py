"""What trials run on: which CUDA devices there are, found out without torch, and how many CPU threads."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from hpo.errors import ConfigError
from hpo.targets import TRAINING_LOOP

AUTO, CPU, CUDA = "auto", "cpu", "cuda"
OWN_CORES = "${resources_per_trial.cpus}"
"""The threads_per_trial of trials that differ in their cores."""


def cuda_devices(device: str, dev: Path = Path("/dev")) -> tuple[str, ...]:
    """The devices that trials take turns on, as CUDA_VISIBLE_DEVICES spells them; none for `device=cpu`.

    A CUDA_VISIBLE_DEVICES in the environment is respected as given. Raises ConfigError for an unknown
    `device`, and for `cuda` where there is none.
    """
    if device not in (AUTO, CPU, CUDA):
        raise ConfigError(f"device={device!r} is not known; allowed are {AUTO}, {CPU} and {CUDA}")
    if device == CPU:
        return ()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        found = tuple(name.strip() for name in given.split(",") if name.strip() not in ("", "-1"))
    else:
        numbers = (path.name.removeprefix("nvidia") for path in dev.glob("nvidia[0-9]*"))
        found = tuple(sorted((number for number in numbers if number.isdigit()), key=int))
    if device == CUDA and not found:
        raise ConfigError("device=cuda, but this machine shows no CUDA device; use device=auto or device=cpu")
    return found


def num_threads(config: DictConfig, earlier: int | None = None) -> int:
    """The CPU threads of a trial: as given, as many as it has cores of its own, as they were, or an equal share of
    the cores that this process may use."""
    given = config.threads_per_trial
    if given == AUTO and config.resources_per_trial.cpus is not None:
        given = config.resources_per_trial.cpus
    if given == AUTO and earlier is not None:
        given = earlier
    if given == AUTO:
        return max(1, len(os.sched_getaffinity(0)) // int(config.concurrent_trials))
    return int(given)


def num_processes(config: DictConfig) -> int:
    """How many processes train one trial together: as given, or one for each of its own GPUs.

    A task of the user's may use several GPUs in one process, and gets more of them only when it says so.
    """
    given = config.processes_per_trial
    if given != AUTO:
        return int(given)
    gpus = config.resources_per_trial.gpus
    is_ours = config.task is not None and config.task.get("_target_") == TRAINING_LOOP
    return int(gpus) if is_ours and gpus is not None and gpus > 1 else 1


def have_own_threads(config: DictConfig) -> bool:
    """Whether each trial has as many threads as it has cores, and they differ in these."""
    is_auto = config.threads_per_trial == AUTO
    return is_auto and OmegaConf.is_interpolation(config.resources_per_trial, "cpus")
