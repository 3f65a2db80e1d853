from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import DictConfig

from hpo.config import CheckpointEvery, ResourcesPerTrial
from hpo.errors import ConfigError, TargetError
from hpo.experiment.checks import check_budgets, check_config

Make = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("total_trials", 0, "total_trials=0 must be at least 1"),
        ("concurrent_trials", -2, "concurrent_trials=-2 must be at least 1"),
        ("keep_n_checkpoints", -1, "keep_n_checkpoints=-1 must be at least 0"),
        ("checkpoint_every", CheckpointEvery(iterations=0), "checkpoint_every.iterations=0 must be at least 1"),
        ("checkpoint_every", CheckpointEvery(epochs=0.0), "checkpoint_every.epochs=0.0 must be above 0"),
        ("checkpoint_every", CheckpointEvery(seconds=-5.0), "checkpoint_every.seconds=-5.0 must be above 0"),
        (
            "checkpoint_every",
            CheckpointEvery(seconds=float("nan")),
            "checkpoint_every.seconds=nan must be above 0",
        ),
        ("random_seed", -1, "random_seed=-1 must be at least 0"),
        ("train_config.batch_size", 0, "train_config.batch_size=0 must be at least 1"),
        ("train_config.eval_batch_size", 0, "train_config.eval_batch_size=0 must be at least 1"),
        ("train_config.epochs", 0, "train_config.epochs=0 must be at least 1"),
        ("train_config.num_workers", -1, "train_config.num_workers=-1 must be at least 0"),
        ("eval_epoch", 0.0, "eval_epoch=0.0 must be above 0"),
        ("eval_epoch", float("nan"), "eval_epoch=nan must be above 0"),
        ("log_epoch", -1.0, "log_epoch=-1.0 must be above 0"),
        ("threads_per_trial", 0, "threads_per_trial=0 must be auto or a whole number"),
        ("threads_per_trial", 1.5, "threads_per_trial=1.5 must be auto"),
        ("threads_per_trial", "many", "threads_per_trial=many must be auto"),
        ("threads_per_trial", True, "threads_per_trial=True must be auto"),
        ("threads_per_trial", None, "threads_per_trial=None must be auto"),
        ("experiment_id", "a/b", "experiment_id='a/b' must be a plain file name"),
        ("experiment_id", "", "experiment_id='' must be a plain file name"),
        ("experiment_id", "..", "experiment_id='..' must be a plain file name"),
        ("experiment_id", "a b", "experiment_id='a b' must be a plain file name"),
        ("experiment_id", "a\n", "must be a plain file name"),
        ("timeout_s", 0.0, "timeout_s=0.0 must be above 0"),
        ("retry_delay_s", float("nan"), "retry_delay_s=nan must be at least 0"),
        ("retry_delay_s", float("inf"), "retry_delay_s=inf must be a finite number"),
        ("recoverable_errors", ["MemoryError", ""], "recoverable_errors holds '', which is no name"),
        ("recoverable_errors", ["5"], "recoverable_errors holds '5', which is no name"),
        ("fail_fast_trials", 0, "fail_fast_trials=0 must be at least 1"),
        ("device", "tpu", "device='tpu' is not known"),
        ("model_config", {"width": "???"}, "these keys need a value: model_config.width"),
        ("model_config", {"width": "${nowhere}"}, "model_config.width: Interpolation key 'nowhere' not found"),
        ("notes", "${nowhere}", "notes: Interpolation key 'nowhere' not found"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_is_allowed(
    quadratic: Make, key: str, value: Any, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(quadratic(**{key: value}))

    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("keep_n_checkpoints", 0),
        ("threads_per_trial", "auto"),
        ("threads_per_trial", 64),
        ("checkpoint_every", CheckpointEvery(epochs=0.001, iterations=1, seconds=0.1)),
        ("random_seed", 0),
        ("eval_epoch", 0.01),
        ("experiment_id", "2026-11.my_run-3"),
        ("device", "auto"),
        ("train_config.num_workers", 0),
    ],
)
def test_the_smallest_that_makes_sense_passes(quadratic: Make, key: str, value: Any) -> None:
    check_config(quadratic(**{key: value}))


def test_checkpoints_in_between_are_refused_where_none_is_kept(quadratic: Make) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint_every\.seconds=60\.0 leaves no checkpoint"):
        check_config(quadratic(keep_n_checkpoints=0, checkpoint_every=CheckpointEvery(seconds=60.0)))


@pytest.mark.parametrize(
    ("resources", "complaint"),
    [
        ({"cpus": 0}, "resources_per_trial.cpus=0 must be a whole number of at least 1, or null"),
        ({"cpus": -2}, "resources_per_trial.cpus=-2 must be a whole number of at least 1, or null"),
        ({"gpus": 1.5}, "resources_per_trial.gpus=1.5 must be a whole number, or a part of one GPU from 1/1000"),
        ({"gpus": -1.0}, "resources_per_trial.gpus=-1 must be a whole number, or a part of one GPU"),
        ({"gpus": 0.0001}, "resources_per_trial.gpus=0.0001 must be a whole number, or a part of one GPU"),
        ({"gpus": float("nan")}, "resources_per_trial.gpus=nan must be a finite number, or null"),
        ({"gpu_memory_mb": 0.0}, "resources_per_trial.gpu_memory_mb=0 must be above 0, or null"),
        ({"gpu_memory_mb": float("inf")}, "resources_per_trial.gpu_memory_mb=inf must be a finite number"),
        ({"memory_mb": -1.0}, "resources_per_trial.memory_mb=-1 must be above 0, or null"),
        ({"gpus": 0.0, "gpu_memory_mb": 9.0}, "gpu_memory_mb=9 is on no GPU with resources_per_trial.gpus=0"),
    ],
    ids=str,
)
def test_a_resource_that_nothing_can_be_is_named_with_what_is_allowed(
    quadratic: Make, resources: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(quadratic(resources_per_trial=ResourcesPerTrial(**resources)))

    assert complaint in str(caught.value)


@pytest.mark.parametrize("gpus", [None, 0.0, 0.001, 1 / 3, 1.0, 8.0])
def test_parts_of_a_gpu_and_whole_ones_pass(quadratic: Make, gpus: float | None) -> None:
    check_config(quadratic(resources_per_trial=ResourcesPerTrial(cpus=1, gpus=gpus, memory_mb=0.5)))


def test_targets_are_checked_as_well(quadratic: Make) -> None:
    with pytest.raises(TargetError, match=r"recorder\.mine\._target_ is 'os\.system'"):
        check_config(quadratic(recorder={"mine": {"_target_": "os.system"}}))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"timeout_s": 5.0, "trial_timeout_s": 6.0}, "trial_timeout_s=6.0 is longer than timeout_s=5.0"),
        ({"max_failure_rate": 1.5}, "max_failure_rate=1.5 must be below 1"),
        ({"max_failure_rate": 0.5, "total_trials": 5}, "failure_window=20 is longer than total_trials=5"),
        ({"max_stale_trials": 50}, "max_stale_trials=50 is never reached with total_trials=30"),
        ({"target_value": float("nan")}, "target_value=nan must be a finite number"),
        (
            {"target_value": 1.0, "optim_metrics": {"loss": "min", "other": "max"}},
            "target_value=1.0 is for one objective, but optim_metrics has 2: loss, other",
        ),
    ],
    ids=str,
)
def test_limits_of_a_search_that_contradict_each_other_are_told(
    quadratic: Make, values: dict[str, Any], complaint: str
) -> None:
    config = quadratic(**values)
    check_config(config)

    with pytest.raises(ConfigError) as caught:
        check_budgets(config)

    assert complaint in str(caught.value)


def test_limits_that_go_together_pass(quadratic: Make) -> None:
    limits = {"timeout_s": 6.0, "trial_timeout_s": 6.0, "max_failure_rate": 0.5, "max_stale_trials": 29}

    check_budgets(quadratic(**limits, target_value=0.0))
