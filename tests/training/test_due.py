from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from hpo.config import CheckpointEvery
from hpo.training.due import CheckpointDue
from tests.training.interrupted_runs import run
from tests.training.toy_runs import LINE


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def due(clock=None, iteration=0, **every):
    return CheckpointDue(OmegaConf.structured(CheckpointEvery(**every)), 10, iteration, clock or Clock())


def saved(rule, last, first=1):
    """The iterations of the checkpoints that the rule asks for."""
    steps = []
    for iteration in range(first, last + 1):
        if rule.is_due(iteration):
            steps.append(iteration)
            rule.saved(iteration)
    return steps


def test_by_default_none_is_due():
    assert saved(due(), 1000) == []


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        ({"iterations": 3}, [3, 6, 9]),
        ({"iterations": 1}, list(range(1, 12))),
        ({"epochs": 0.5}, [5, 10]),
        ({"epochs": 0.41}, [5, 10]),
        ({"epochs": 0.0001}, list(range(1, 12))),
        ({"epochs": 1.0, "iterations": 4}, [4, 8]),
    ],
)
def test_steps_and_epochs_count_from_the_checkpoint_before(every, expected):
    assert saved(due(**every), 11) == expected


def test_a_checkpoint_of_an_evaluation_counts_as_well():
    rule = due(iterations=3)
    rule.saved(2)
    assert saved(rule, 9, first=3) == [5, 8]


def test_a_training_that_is_continued_counts_from_where_it_begins():
    assert saved(due(iterations=3, iteration=7), 14, first=8) == [10, 13]


def test_seconds_count_from_the_checkpoint_before():
    clock = Clock()
    rule = due(clock, seconds=10.0)
    clock.now_s = 9.9
    assert not rule.is_due(1)
    clock.now_s = 10.0
    assert rule.is_due(2)
    rule.saved(2)
    assert not rule.is_due(3)
    clock.now_s = 20.0
    assert rule.is_due(4)


def test_whichever_comes_first_makes_it_due():
    clock = Clock()
    rule = due(clock, seconds=10.0, iterations=5)
    assert not rule.is_due(4)
    assert rule.is_due(5)
    clock.now_s = 10.0
    assert rule.is_due(1)


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        ({}, [4, 8]),
        ({"checkpoint_every__iterations": 3}, [3, 4, 7, 8]),
        ({"checkpoint_every__epochs": 0.25}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"checkpoint_every__seconds": 1e-9}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"checkpoint_every__seconds": 3600.0}, [4, 8]),
    ],
)
def test_the_loop_keeps_one_at_each_evaluation_and_whenever_one_is_due(make_config, tmp_path, every, steps):
    options = ("train_config.batch_size=2", "train_config.epochs=2", "keep_n_checkpoints=9", "device=cpu")
    trial = run(make_config(options, **LINE), tmp_path, **every)

    assert [step for step, _ in trial.steps_saved] == steps
    assert all(not best for step, best in trial.steps_saved if step % 4)
    assert len(list(trial.dir.checkpoints.iterdir())) == len(steps)
