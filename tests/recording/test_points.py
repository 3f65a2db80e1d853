from __future__ import annotations

from hpo.recording.points import measured


def test_what_was_not_measured_is_left_out_and_a_loss_that_is_nan_is_not():
    nan = float("nan")
    assert list(measured({"train_loss": nan, "val_loss": nan, "val_f1": 0.5})) == ["train_loss", "val_f1"]
