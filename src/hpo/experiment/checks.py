"""Checks of the composed configuration that its types do not make, before anything is on disk."""

from __future__ import annotations

import difflib
import re
from dataclasses import fields

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpo.config import RunConfig
from hpo.devices import cuda_devices
from hpo.errors import ConfigError
from hpo.objectives import objectives
from hpo.targets import check_targets

# key -> the smallest value allowed
_AT_LEAST = {
    "total_trials": 1,
    "concurrent_trials": 1,
    "keep_n_checkpoints": 0,
    "random_seed": 0,
    "num_worst_images": 0,
    "train_config.batch_size": 1,
    "train_config.eval_batch_size": 1,
    "train_config.epochs": 1,
    "train_config.num_workers": 0,
}
_POSITIVE = ("eval_epoch", "log_epoch")
_AUTO = "auto"
_MAX_SEED = 2**32 - 1
_EXPERIMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_config(config: DictConfig) -> None:
    """Raise ConfigError (or TargetError, ObjectiveError) that names the first value that cannot be."""
    _check_keys(config)
    _check_complete(config)
    if config.random_seed > _MAX_SEED:
        raise ConfigError(f"random_seed={config.random_seed} must be at most {_MAX_SEED}")
    if not config.experiment_dir.strip():
        raise ConfigError("experiment_dir is empty: name the folder that experiments are written into")
    for key, lowest in _AT_LEAST.items():
        value = OmegaConf.select(config, key)
        if value is not None and value < lowest:
            raise ConfigError(f"{key}={value} must be at least {lowest}")
    for key in _POSITIVE:
        if not config[key] > 0:
            raise ConfigError(f"{key}={config[key]} must be above 0")
    threads = config.threads_per_trial
    if threads != _AUTO and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads_per_trial={threads} must be {_AUTO} or a whole number of at least 1")
    if config.experiment_id is not None and not _EXPERIMENT_ID.fullmatch(config.experiment_id):
        raise ConfigError(
            f"experiment_id={config.experiment_id!r} must be a plain file name: letters, digits, '.', '_' and '-'"
        )
    cuda_devices(config.device)
    objectives(config)
    check_targets(config)


def _check_keys(config: DictConfig) -> None:
    """Every key at the top is one of ours: what a plus adds there nobody would read."""
    known = [item.name for item in fields(RunConfig)]
    for key in map(str, config):
        if key not in known and key != "hydra":
            nearest = difflib.get_close_matches(key, [*known, "experiment"], n=3, cutoff=0.6)
            hint = f"; the nearest are: {', '.join(nearest)}" if nearest else ""
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
