from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from hpo.config import Direction
from hpo.experiment.identity import config_hash, draw_experiment_id, forget_drawn_ids, trial_id

Make = Callable[..., DictConfig]


@pytest.fixture(scope="module")
def mnist(compose_run: Callable[..., DictConfig]) -> Callable[..., str]:
    """`mnist("optimizer_config=sgd")`: the hash of experiment=mnist with these overrides."""
    return lambda *overrides: config_hash(compose_run("+experiment=mnist", *overrides))


@pytest.mark.parametrize(
    "override",
    [
        "search_space=none",
        "total_trials=99",
        "concurrent_trials=7",
        "threads_per_trial=3",
        "experiment_dir=/elsewhere",
        "experiment_id=mine",
        "data_config.root=/elsewhere",
        "data_config.download=false",
        "data_config.mirrors=[]",
        "name=other",
        "notes=text",
        "tags=[a,b]",
        "verbose=silent",
        "device=cpu",
        "keep_n_checkpoints=5",
        "checkpoint_every.seconds=30",
        "tensorboard=false",
        "dry_run=true",
        "run_task=test_task",
    ],
)
def test_search_budget_paths_and_everything_operational_are_no_part_of_the_hash(
    mnist: Callable[..., str], override: str
) -> None:
    assert mnist(override) == mnist()


@pytest.mark.parametrize(
    "override",
    [
        "model_config.hidden_size=129",
        "optimizer_config.lr=0.5",
        "optimizer_config=sgd",
        "scheduler_config=cosine",
        "loss_config.label_smoothing=0.1",
        "train_config.epochs=11",
        "train_config.batch_size=64",
        "data_config.val_fraction=0.1",
        "data_config.fallback=error",
        "metrics=none",
        "optim_metrics.val_loss=max",
        "+optim_metrics.val_accuracy=max",
        "random_seed=43",
        "eval_epoch=0.5",
        "task._target_=hpo.tasks.noop",
    ],
)
def test_model_data_training_and_objectives_change_the_hash(mnist: Callable[..., str], override: str) -> None:
    assert mnist(override) != mnist()


def test_the_hash_does_not_hang_on_the_order_in_which_keys_were_written(quadratic: Make) -> None:
    one = quadratic(model_config={"a": 1, "b": {"c": 2, "d": 3}})
    other = quadratic(model_config={"b": {"d": 3, "c": 2}, "a": 1})

    assert config_hash(one) == config_hash(other)
    assert len(config_hash(one)) == 64


def test_an_id_is_four_digits_of_the_hash_and_four_that_are_drawn(quadratic: Make) -> None:
    drawn = draw_experiment_id(quadratic())

    assert re.fullmatch(r"[0-9a-f]{4}_[0-9a-f]{4}", drawn)
    assert drawn.startswith(config_hash(quadratic())[:4])


def test_the_id_stays_the_same_until_it_is_used_and_is_another_afterwards(quadratic: Make) -> None:
    first = draw_experiment_id(quadratic())
    assert draw_experiment_id(quadratic()) == first

    forget_drawn_ids()

    assert draw_experiment_id(quadratic()) != first, "one in 65536 runs of this test may fail"


def test_an_id_whose_directory_exists_is_drawn_again(
    quadratic: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = config_hash(quadratic())[:4]
    draws = iter(["aaaa", "bbbb", "cccc"])
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(draws))
    for taken in ("aaaa", "bbbb"):
        (tmp_path / "experiments" / f"experiment_{label}_{taken}").mkdir(parents=True)

    assert draw_experiment_id(quadratic()) == f"{label}_cccc"


@pytest.mark.parametrize(
    ("params", "others"),
    [({"x": 1}, {"x": 2}), ({"x": 1}, {"x": "1"}), ({"x": None}, {"x": "null"}), ({"x": True}, {"x": "true"})],
)
def test_a_trials_name_is_its_number_and_digits_of_its_values(params: Any, others: Any) -> None:
    assert re.fullmatch(r"0007_[0-9a-f]{4}", trial_id(7, "digest", params))
    assert trial_id(7, "digest", params) == trial_id(7, "digest", dict(params))
    assert trial_id(7, "digest", params) != trial_id(7, "digest", others)
    assert trial_id(7, "digest", params) != trial_id(7, "other", params)
    assert trial_id(12345, "digest", params).startswith("12345_")


def test_the_direction_of_an_objective_counts(quadratic: Make) -> None:
    low = config_hash(quadratic(optim_metrics={"loss": Direction.min}))

    assert config_hash(quadratic(optim_metrics={"loss": Direction.max})) != low
