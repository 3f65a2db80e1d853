from __future__ import annotations

import pytest

from hpo.errors import ConfigError
from hpo.training.plan import Plan, check_train_config


@pytest.mark.parametrize(
    ("eval_epoch", "epochs", "steps_per_epoch", "due"),
    [
        (1, 3, 5, [5, 10, 15]),
        (2, 5, 5, [10, 20, 25]),
        (0.5, 2, 4, [2, 4, 6, 8]),
        (0.5, 1, 7, [4, 7]),
        (0.1, 1, 10, list(range(1, 11))),
        (0.3, 3, 10, [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]),
        (1 / 3, 1, 1875, [625, 1250, 1875]),
        (1.5, 3, 5, [8, 15]),
        (0.01, 1, 4, [1, 2, 3, 4]),
        (100, 2, 5, [10]),
        (float("inf"), 2, 5, [10]),
    ],
)
def test_evaluations_are_due_at_multiples_of_eval_epoch_and_at_the_end(
    make_config, eval_epoch, epochs, steps_per_epoch, due
):
    config = make_config((f"train_config.epochs={epochs}",))
    config.eval_epoch = float(eval_epoch)
    plan = Plan.of(config, steps_per_epoch)
    steps = range(1, epochs * steps_per_epoch + 1)
    assert [step for step in steps if step in plan.evaluate] == due
    assert [step for step in steps if step in plan.log] == [
        steps_per_epoch * (epoch + 1) for epoch in range(epochs)
    ]
    assert plan.total_steps == epochs * steps_per_epoch


@pytest.mark.parametrize("key", ["eval_epoch", "log_epoch"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_an_interval_that_is_none_is_named(make_config, key, value):
    config = make_config()
    config[key] = float(value)
    with pytest.raises(ConfigError, match=f"{key}={float(value)} must be above 0"):
        Plan.of(config, 5)


@pytest.mark.parametrize("key", ["batch_size", "eval_batch_size", "epochs"])
def test_a_count_of_nothing_is_named(make_config, key):
    with pytest.raises(ConfigError, match=rf"train_config\.{key}=0 must be at least 1"):
        check_train_config(make_config((f"train_config.{key}=0",)).train_config)


def test_a_negative_number_of_workers_is_named(make_config):
    with pytest.raises(ConfigError, match=r"train_config\.num_workers=-1"):
        check_train_config(make_config(("train_config.num_workers=-1",)).train_config)
