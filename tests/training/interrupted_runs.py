"""Trainings that are interrupted, continued from the files that are left, and compared with one that was not."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from hpo.training.loop import train
from hpo.trial.checkpoints import Checkpoints
from tests.training.conftest import RecordingTrial

TOY = "tests.training.toy_problem"
TORCH_SCHEDULER = "torch.optim.lr_scheduler"
ADAM = {"_target_": "torch.optim.Adam", "lr": 0.05}
MOMENTUM = {"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True}
METRICS = {
    "error": {"_target_": "torchmetrics.MeanSquaredError"},
    "explained": {"_target_": "torchmetrics.ExplainedVariance"},
    "similarity": {"_target_": "torchmetrics.CosineSimilarity", "reduction": "mean"},
}
# 18 samples: 5 steps in each of 3 epochs, evaluations after 5, 10 and 15, records in between after 2, 4, 7, ...
LINE = {
    "data_config": {"_target_": f"{TOY}.LineOf", "kind": "tuples", "num_train": 18},
    "model_config": {"_target_": f"{TOY}.Linear", "dropout": 0.3},
    "loss_config": {"_target_": "torch.nn.MSELoss"},
    "optimizer_config": ADAM,
    "metrics": METRICS,
}
PICTURES = {
    "data_config": {"_target_": f"{TOY}.ShakenPictures"},
    "model_config": {"_target_": f"{TOY}.DroppingConvolution"},
    "optimizer_config": MOMENTUM,
    "metrics": {"accuracy": {"_target_": "torchmetrics.classification.MulticlassAccuracy", "num_classes": 2}},
}
SMALL = ("train_config.batch_size=4", "train_config.epochs=3", "log_epoch=0.4", "device=cpu")


def scheduler(name, **arguments):
    return {"scheduler_config": {"_target_": f"{TORCH_SCHEDULER}.{name}", **arguments}}


class Killed(Exception):
    """Stands for the death of the trial's process."""


class InterruptedTrial(RecordingTrial):
    """A trial with checkpoints on disk, whose process dies within one step or is told to leave after one.

    What was recorded after the checkpoint that it continues from is cut off, as attempts do.
    """

    def __init__(self, config: DictConfig, root: Path) -> None:
        super().__init__(config, root)
        for folder in self.dir.folders:
            folder.mkdir(parents=True, exist_ok=True)
        self.iteration = 0
        self.dies_in: int | None = None
        self.leaves_after: int | None = None
        self.steps_saved: list[tuple[int, bool]] = []
        self._checkpoints = Checkpoints(self.dir, config.keep_n_checkpoints)

    def will_lose(self) -> bool:
        self.iteration += 1  # it is asked once in each step
        if self.iteration == self.dies_in:
            raise Killed
        return False

    def must_leave(self) -> bool:
        return self.iteration == self.leaves_after

    def should_stop(self) -> bool:
        return self.must_leave()

    def save(self, state: Mapping[str, Any], step: int, *, best: bool = False) -> None:
        self.steps_saved.append((step, best))
        self._checkpoints.save(state, step, best=best, before_rename=lambda: None)

    def restore(self) -> dict[str, Any] | None:
        state = self._checkpoints.restore()
        self.iteration = state["current_iteration"] if state is not None else 0
        self.records = [record for record in self.records if record["current_iteration"] <= self.iteration]
        return state


def leaves(iteration: int) -> tuple[int | None, int | None]:
    return iteration, None


def dies(iteration: int) -> tuple[int | None, int | None]:
    return None, iteration


def run(
    config: DictConfig, root: Path, *interruptions: tuple[int | None, int | None], **changes: Any
) -> InterruptedTrial:
    """Train to the end, interrupted by each of these in turn; `changes` are to the configuration."""
    config = config.copy()
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    trial = InterruptedTrial(config, root)
    for trial.leaves_after, trial.dies_in in (*interruptions, (None, None)):
        scramble()
        try:
            train(trial)
        except Killed:
            assert trial.iteration == trial.dies_in
    return trial


def scramble() -> None:
    """Leave every generator where no training would."""
    random.seed(0)
    np.random.seed(1)
    torch.manual_seed(2)


def newest(trial: RecordingTrial) -> dict[str, Any]:
    """The checkpoint that is left, but for the configuration."""
    state = Checkpoints(trial.dir, 1).restore()
    assert state is not None
    del state["run_config"]
    return state


def assert_equal(one: Any, other: Any, where: str = "state") -> None:
    """Equal to the bit, down to the last tensor."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, where
        assert torch.equal(one, other), where
    elif isinstance(one, Mapping):
        assert list(one) == list(other), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, Sequence) and not isinstance(one, str):
        assert len(one) == len(other), where
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_equal(left, right, f"{where}[{index}]")
    elif isinstance(one, float) and math.isnan(one):
        assert math.isnan(other), where
    else:
        assert one == other, where


def assert_same_end(whole: InterruptedTrial, continued: InterruptedTrial) -> None:
    assert_equal(continued.records, whole.records, "records")
    assert_equal(newest(continued), newest(whole))
    best, expected = (list(trial.dir.best_checkpoints.iterdir()) for trial in (continued, whole))
    assert [path.name for path in best] == [path.name for path in expected]
