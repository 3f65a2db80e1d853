from __future__ import annotations

from hpo.recording.points import measured, step_of


def test_a_record_belongs_to_its_iteration_and_is_counted_without_one():
    assert step_of({"current_iteration": 1875}, 3) == 1875
    assert step_of({"loss": 1.0}, 3) == 3


def test_what_was_not_measured_is_left_out_and_a_loss_that_is_nan_is_not():
    nan = float("nan")
    assert list(measured({"train_loss": nan, "val_loss": nan, "val_f1": 0.5})) == ["train_loss", "val_f1"]
