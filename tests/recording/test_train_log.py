from __future__ import annotations

import logging

import pytest

from hpo.recording.train_log import TrainLog


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="hpo.train")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_record_is_one_line_with_its_place_first_and_its_averages_last(info, records, lines):
    TrainLog(info).log(records[1])
    assert lines() == [
        "epoch 2/10  iteration 3750/18750  learning_rate 0.0026  best_iteration 3750  best_loss 1.48"
        "  |  train_loss 1.59  val_loss 1.48"
    ]


def test_every_value_of_a_record_of_other_keys_is_there(info, lines):
    TrainLog(info).log({"reward": 3, "loss": float("nan")})
    assert lines() == ["reward 3  loss nan"]


def test_the_end_says_the_final_metrics(info, lines):
    TrainLog(info).close({"val_loss": 1.48})
    assert lines() == ["trial 0003_1f3a ended  |  val_loss 1.48"]


def test_an_end_without_metrics_says_nothing(info, lines):
    TrainLog(info).close({})
    assert lines() == []
