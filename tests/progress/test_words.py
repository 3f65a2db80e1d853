from __future__ import annotations

import pytest

from hpo.progress import words
from hpo.records import State


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [(-1.0, "0:00"), (0.4, "0:00"), (41.0, "0:41"), (221.0, "3:41"), (3729.0, "1:02:09"), (187_200.0, "2 d 04 h")],
)
def test_times(seconds: float, spelled: str) -> None:
    assert words.clock(seconds) == spelled


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(0.0312, "0.031"), (8.24, "8.2"), (812.4, "812"), (9_999.0, "9999"), (12_345.0, "12k"), (2.5e6, "2M")],
)
def test_speeds_take_little_room(value: float, spelled: str) -> None:
    assert words.speed(value) == spelled


def test_sizes() -> None:
    assert (words.size(312 * 2**20), words.size(1.4 * 2**30)) == ("312 MB", "1.4 GB")


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_short_name(state: State) -> None:
    assert 0 < len(words.state(state)) <= 11


def test_states_without_trials_are_left_out_but_for_the_failed() -> None:
    assert words.counts({State.RUNNING: 2, State.WAITING: 0}) == "2 running, 0 failed"
    pruned = {State.PRUNED_INVALID: 1, State.PRUNED_DUPLICATE: 1, State.FAIL: 3, State.FAIL_RECOVERABLE: 1}
    assert words.counts(pruned) == "1 to be tried again, 2 pruned, 3 failed"


def test_metrics_are_the_objectives_then_validation_then_training_as_far_as_they_fit() -> None:
    values = {"train_loss": 1.0, "val_b": 2.0, "val_loss": 3.0, "best_loss": 4.0, "current_epoch": 5.0}

    assert words.metrics(values, ["val_loss"], 99) == "val_loss 3  val_b 2  train_loss 1"
    assert words.metrics(values, ["val_loss"], 20) == "val_loss 3  val_b 2"
    assert words.metrics(values, ["val_loss"], 1) == "val_loss 3", "the first one is cut where it is drawn"
    assert words.metrics({}, ["val_loss"], 99) == ""
