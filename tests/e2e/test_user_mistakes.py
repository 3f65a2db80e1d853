"""Mistakes in a user's project: one message with the key, and the file where a group option is at fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Run
from tests.projects import SIGNALS, copied

pytestmark = pytest.mark.slow

BROKEN = """
import numpy as np

from hpo.data.protocol import Splits
from signals.shapes import Shapes

class Empty(Shapes):
    def load(self, source):
        from signals.augmented import Images
        none = Images(np.zeros((0, 1, 16, 16), np.float32), np.zeros(0, np.int64))
        return Splits(train=none, val=none)

class Mislabelled(Shapes):
    def load(self, source):
        import torch
        from torch.utils.data import TensorDataset
        labels = torch.zeros(100, dtype=torch.int64)
        labels[-1] = 4
        return Splits(train=TensorDataset(torch.zeros(100, 1, 16, 16), labels))

class MislabelledImages(Shapes):
    # only the last batch of the validation data has a label that is too high
    def load(self, source):
        from signals.augmented import Images
        images, labels = np.zeros((64, 1, 16, 16), np.float32), np.zeros(64, np.int64)
        wrong = labels.copy()
        wrong[-1] = 4
        return Splits(train=Images(images, labels), val=Images(images, wrong))

def returns_text(trial, angle):
    return "0.5"

def returns_nothing(trial, angle):
    pass
"""


@pytest.fixture(autouse=True)
def signals(tmp_path: Path) -> Path:
    """The project, with modules that fail added to it, where the command of these tests runs."""
    signals = copied(SIGNALS, tmp_path)
    (signals / "signals" / "broken.py").write_text(BROKEN)
    (signals / "signals" / "half_written.py").write_text("import nowhere_installed\n")
    return signals


@pytest.mark.parametrize(
    ("overrides", "key", "said", "file"),
    [
        (
            ("model_config._target_=signals.half_written.Net",),
            "model_config (signals.half_written.Net",
            "No module named 'nowhere_installed'",
            "conf/model_config/shape_net.yaml",
        ),
        (
            ("loss_config=log_cosh",),
            "loss_config: LogCosh cannot compare the model's output",
            "(float32 (32, 4)) with the target (int64 (32,))",
            "conf/loss_config/log_cosh.yaml",
        ),
        (
            ("model_config.side=32",),
            "model_config (signals.cnn.ShapeNet) fails on a batch",
            "image: float32 (32, 1, 16, 16), label: int64 (32,)",
            "conf/model_config/shape_net.yaml",
        ),
        (
            ("data_config._target_=signals.broken.Empty",),
            "data_config: the dataset (Images) has no samples",
            "",
            "conf/data_config/shapes.yaml",
        ),
        (
            ("data_config._target_=signals.broken.Mislabelled", "step_config=supervised"),
            "data_config: the training data has labels from 0 to 4",
            "scores of 4 classes: 0 to 3",
            "conf/data_config/shapes.yaml",
        ),
        (
            ("step_config.target_key=class",),
            "step_config.target_key=class is not in a batch",
            "image, label",
            "conf/step_config/sparse.yaml",
        ),
    ],
    ids=["import", "loss", "model", "no data", "labels", "target key"],
)
def test_bad_input_is_one_message_with_key_and_file_before_anything_is_on_disk(
    hpo_in_process: Callable[..., Run],
    signals: Path,
    overrides: tuple[str, ...],
    key: str,
    said: str,
    file: str,
) -> None:
    run = hpo_in_process("+experiment=shapes", "--multirun", "hydra/launcher=basic", *overrides)
    assert run.status == 2, run.stdout
    assert run.stderr.startswith(f"hpo: {key}")
    assert said in run.stderr
    assert str(signals / file) in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    assert not run.experiment_dir.exists()


def test_it_is_told_in_the_same_way_by_processes_of_their_own(hpo: Callable[..., Run], signals: Path) -> None:
    run = hpo("+experiment=shapes", "--multirun", "model_config.side=32")
    assert (run.status, run.stdout) == (2, "")
    assert run.stderr.startswith("hpo: model_config (signals.cnn.ShapeNet) fails on a batch")
    assert str(signals / "conf/model_config/shape_net.yaml") in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.experiment_dir.exists()


def test_a_task_that_cannot_be_imported_is_told_before_anything_is_on_disk(
    hpo_in_process: Callable[..., Run],
) -> None:
    run = hpo_in_process(
        "+experiment=ball", "--multirun", "hydra/launcher=basic", "task._target_=signals.half_written.run"
    )
    assert run.status == 2
    assert run.stderr.startswith("hpo: task")
    assert "No module named 'nowhere_installed'" in run.stderr
    assert not run.experiment_dir.exists()


@pytest.mark.parametrize(("task", "returned"), [("returns_text", "'0.5'"), ("returns_nothing", "None")])
def test_a_task_that_returns_no_metrics_fails_and_is_told_what_it_may_return(
    hpo_in_process: Callable[..., Run], task: str, returned: str
) -> None:
    run = hpo_in_process(
        *("+experiment=ball", "--multirun", "hydra/launcher=basic", "total_trials=1"),
        f"task._target_=signals.broken.{task}",
    )
    assert run.status == 1, run.stderr
    ((state, reason),) = run.trials("state, reason")
    assert state == "FAIL"
    assert reason.startswith("TrialError: a task must return a mapping of metrics")
    assert f"but returned {returned}" in reason
    assert reason in run.stdout
    assert "Traceback" not in run.stdout + run.stderr


def test_a_label_that_only_a_later_batch_has_fails_the_trial_with_the_same_message(
    hpo_in_process: Callable[..., Run],
) -> None:
    run = hpo_in_process(
        *("+experiment=shapes", "--multirun", "data_config._target_=signals.broken.MislabelledImages"),
        *("train_config.eval_batch_size=32", "total_trials=1", "hydra/launcher=basic"),
    )
    assert run.status == 1, run.stderr
    ((state, reason),) = run.trials("state, reason")
    assert state == "FAIL"
    assert "loss_config: CrossEntropyLoss cannot compare the model's output (float32 (32, 4))" in reason
    assert "Target 4 is out of bounds" in reason
