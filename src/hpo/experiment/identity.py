"""What names an experiment and a trial: a hash of what is trained, and digits drawn for this launch."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hpo.paths import ExperimentPaths
from hpo.records import Value
from hpo.resolved import plain

# model, data, training and objectives; the search, its budget and everything operational are not part of it
HASHED = (
    "task",
    "test_task",
    "model_config",
    "data_config",
    "loss_config",
    "step_config",
    "optimizer_config",
    "parameter_config",
    "scheduler_config",
    "train_config",
    "metrics",
    "optim_metrics",
    "num_replicates",
    "combine_replicates",
    "random_seed",
    "amp",
    "deterministic",
    "eval_epoch",
    "log_epoch",
    "early_stopping_iter",
    "divergence_factor",
    "warm_up_epochs",
    "eval_subsample",
    "init_chkpt",
    "init_chkpt_strict",
)
# where data lies and whether it may be fetched, not what it is
_OPERATIONAL = ("root", "download", "mirrors")
_NUM_LABEL_DIGITS = 4

# experiment_id drawn in this process and not opened yet: the stock sweeper asks for it before its launcher does
_drawn: dict[str, str] = {}


def config_hash(config: DictConfig) -> str:
    """The SHA-256 of what is trained: equal for runs that differ in search space, budget or paths alone."""
    values = plain(OmegaConf.masked_copy(config, list(HASHED)))
    hashed = {key: without_operational(values.get(key)) for key in HASHED}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True, default=str).encode()).hexdigest()


def draw_experiment_id(config: DictConfig) -> str:
    """An id such as `1901_aa90` whose directory does not exist; the same until `forget` is called."""
    digest = config_hash(config)
    if digest not in _drawn:
        _drawn[digest] = next(
            drawn
            for drawn in (f"{label_of(digest)}_{secrets.token_hex(_NUM_LABEL_DIGITS // 2)}" for _ in iter(int, 1))
            if not ExperimentPaths(Path(config.experiment_dir), drawn).root.exists()
        )
    return _drawn[digest]


def label_of(digest: str) -> str:
    """The digits of a configuration's hash that its experiments have in their names."""
    return digest[:_NUM_LABEL_DIGITS]


def forget_drawn_ids() -> None:
    """Let the next experiment of this process draw an id of its own."""
    _drawn.clear()


def trial_id(number: int, digest: str, params: Mapping[str, Value]) -> str:
    """A trial's directory name: its number, and four digits of its configuration (`0007_1f3a`)."""
    text = json.dumps([digest, dict(params)], sort_keys=True, default=str)
    return f"{number:04d}_{hashlib.sha256(text.encode()).hexdigest()[:_NUM_LABEL_DIGITS]}"


def without_operational(node: Any) -> Any:
    """`node` without where its data lies and whether it may be fetched."""
    if isinstance(node, dict):
        return {key: without_operational(value) for key, value in node.items() if key not in _OPERATIONAL}
    return node
