"""Checks of the composed configuration that its types do not make, before anything is on disk."""

from __future__ import annotations

import math
import re

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpo.config import RunConfig
from hpo.devices import cuda_devices
from hpo.errors import ConfigError
from hpo.experiment.databases import check_stores
from hpo.keys import nearest, unknown
from hpo.objectives import objectives
from hpo.resources import need_of
from hpo.targets import check_targets

# key -> the smallest value allowed
_AT_LEAST = {
    "total_trials": 1,
    "concurrent_trials": 1,
    "num_replicates": 1,
    "keep_n_checkpoints": 0,
    "random_seed": 0,
    "num_worst_images": 0,
    "max_stale_trials": 1,
    "failure_window": 1,
    "fail_fast_trials": 1,
    "max_retries": 0,
    "retry_delay_s": 0,
    "db_timeout_s": 0,
    "train_config.batch_size": 1,
    "train_config.eval_batch_size": 1,
    "train_config.epochs": 1,
    "train_config.num_workers": 0,
    "checkpoint_every.iterations": 1,
}
_POSITIVE = (
    *("eval_epoch", "log_epoch", "timeout_s", "trial_timeout_s", "stall_timeout_s", "max_failure_rate"),
    *("checkpoint_every.epochs", "checkpoint_every.seconds"),
)
_AUTO = "auto"
_MAX_SEED = 2**32 - 1
_EXPERIMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_config(config: DictConfig) -> None:
    """Raise ConfigError (or TargetError, ObjectiveError) that names the first value that cannot be."""
    _check_keys(config)
    _check_complete(config)
    check_stores(config)
    if config.random_seed > _MAX_SEED:
        raise ConfigError(f"random_seed={config.random_seed} must be at most {_MAX_SEED}")
    if not config.experiment_dir.strip():
        raise ConfigError("experiment_dir is empty: name the folder that experiments are written into")
    for key, lowest in _AT_LEAST.items():
        value = OmegaConf.select(config, key)
        if value is not None and not value >= lowest:
            raise ConfigError(f"{key}={value} must be at least {lowest}")
    for key in _POSITIVE:
        value = OmegaConf.select(config, key)
        if value is not None and not value > 0:
            raise ConfigError(f"{key}={value} must be above 0")
    _check_checkpoints(config)
    _check_retries(config)
    threads = config.threads_per_trial
    if threads != _AUTO and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads_per_trial={threads} must be {_AUTO} or a whole number of at least 1")
    processes = config.processes_per_trial
    if processes != _AUTO and (isinstance(processes, bool) or not isinstance(processes, int) or processes < 1):
        raise ConfigError(f"processes_per_trial={processes} must be {_AUTO} or a whole number of at least 1")
    if config.experiment_id is not None and not _EXPERIMENT_ID.fullmatch(config.experiment_id):
        raise ConfigError(
            f"experiment_id={config.experiment_id!r} must be a plain file name: letters, digits, '.', '_' and '-'"
        )
    need_of(config)
    cuda_devices(config.device)
    objectives(config)
    check_targets(config)


def _check_checkpoints(config: DictConfig) -> None:
    for key, value in config.checkpoint_every.items():
        if value is not None and config.keep_n_checkpoints == 0:
            raise ConfigError(f"checkpoint_every.{key}={value} leaves no checkpoint with keep_n_checkpoints=0")


def _check_retries(config: DictConfig) -> None:
    if not math.isfinite(config.retry_delay_s):
        raise ConfigError(f"retry_delay_s={config.retry_delay_s} must be a finite number of seconds")
    for name in config.recoverable_errors:
        if not all(map(str.isidentifier, name.split("."))):
            raise ConfigError(
                f"recoverable_errors holds {name!r}, which is no name of a class: write MemoryError, or with its "
                "module torch.OutOfMemoryError"
            )


def check_budgets(config: DictConfig) -> None:
    """Raise ConfigError for limits of a search that contradict each other, or that its objectives cannot have."""
    names = [objective.name for objective in objectives(config)]
    for key in ("target_value", "max_stale_trials"):
        if config[key] is not None and len(names) > 1:
            raise ConfigError(
                f"{key}={config[key]} is for one objective, but optim_metrics has {len(names)}: {', '.join(names)}"
            )
    if config.target_value is not None and not math.isfinite(config.target_value):
        raise ConfigError(f"target_value={config.target_value} must be a finite number")
    if config.max_failure_rate is not None and config.max_failure_rate >= 1:
        raise ConfigError(
            f"max_failure_rate={config.max_failure_rate} must be below 1, or null: it is a part of all"
        )
    if None not in (config.timeout_s, config.trial_timeout_s) and config.trial_timeout_s > config.timeout_s:
        raise ConfigError(
            f"trial_timeout_s={config.trial_timeout_s} is longer than timeout_s={config.timeout_s} of the search"
        )
    if config.max_stale_trials is not None and config.max_stale_trials >= config.total_trials:
        raise ConfigError(
            f"max_stale_trials={config.max_stale_trials} is never reached with total_trials={config.total_trials}"
        )
    if config.max_failure_rate is not None and config.failure_window > config.total_trials:
        raise ConfigError(
            f"failure_window={config.failure_window} is longer than total_trials={config.total_trials}, so that "
            f"max_failure_rate={config.max_failure_rate} never counts"
        )


def _check_keys(config: DictConfig) -> None:
    """Every key that is not of a node that the user describes is one of ours: nobody would read another one."""
    for key, known in unknown(config, RunConfig):
        if key != "hydra":
            hint = nearest(key, [*known, "experiment"])
            raise ConfigError(f"+{key}: there is no such key and no such group{hint}")


def _check_complete(config: DictConfig) -> None:
    """Every value is there and every interpolation finds what it names."""
    for key in (str(name) for name in config if name != "hydra"):
        try:
            node = config[key]
            missing = OmegaConf.missing_keys(node) if OmegaConf.is_config(node) else set()
            if missing:
                raise ConfigError(f"these keys need a value: {', '.join(sorted(missing))}")
            if OmegaConf.is_config(node):
                OmegaConf.to_container(node, resolve=True)
        except OmegaConfBaseException as error:
            raise ConfigError(f"{error.full_key or key}: {str(error).splitlines()[0]}") from error
