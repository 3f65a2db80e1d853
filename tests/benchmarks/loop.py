"""The training loop against bare PyTorch loops over the same data: what logging, metrics and reports cost.

All train 784-453-10 with plain SGD, a scheduler stepped at each step and one evaluation (loss and accuracy) an
epoch, in one process with one thread. Ours computes the training loss and accuracy besides, and writes
results.json, TensorBoard and train.log; the bare ones keep no training metrics and wait for nothing in their
steps. Checkpoints are left out of the ratios: one costs the same however long its epoch is; a row shows it.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from operator import truediv
from pathlib import Path
from typing import Any

import hpo.conf
import torch
from hydra.utils import execution_whitelist, get_class
from omegaconf import DictConfig, OmegaConf
from torch.optim.lr_scheduler import ExponentialLR
from torch.utils.data import DataLoader, TensorDataset

from hpo.config import RunConfig
from hpo.data.protocol import Splits
from hpo.models.mlp import MLP
from hpo.paths import TrialPaths
from hpo.records import DataSource, TrialInfo
from hpo.resolved import plain
from hpo.targets import BUILT_IN
from hpo.training.loop import train
from hpo.trial.handle import TrialHandle
from hpo.trial.link import NullLink
from hpo.trial.metadata import Metadata
from tests.benchmarks.measure import median, scratch, show, verdict

GOAL_BARE, GOAL_LOADER = 1.05, 0.7

HIDDEN_SIZE, BATCH_SIZE, EPOCHS = 453, 32, 10
# a busy machine slows neighbours alike
NUM_RUNS = 5
LR, GAMMA = 0.01, 0.9999
_CONF = Path(str(hpo.conf.__file__)).parent
_FILES = Path(__file__).resolve().parents[3] / "shared/data/mnist10k"


class Data:
    """The same tensors for everyone: real MNIST where its files are, else random ones of that shape."""

    splits: Splits

    def load(self, source: DataSource | None) -> Splits:
        return self.splits


class Unsaved(TrialHandle):
    """A trial that records everything and keeps no checkpoint."""

    def save(self, state: Mapping[str, Any], step: int, *, best: bool = False) -> None:
        pass


def main() -> None:
    torch.set_num_threads(1)
    Data.splits = splits()
    runs: dict[str, Callable[[Path], None]] = {
        "ours": lambda folder: run_ours(folder, Unsaved, config_of()),
        "ours, with checkpoints": lambda folder: run_ours(folder, TrialHandle, config_of()),
        "bare": lambda folder: _bare(_indexed),
        "bare, DataLoader": lambda folder: _bare(_loaded),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    with scratch() as folder, execution_whitelist((*BUILT_IN, "tests.benchmarks.*")):
        # the first optimizer of a process imports for a second
        _bare(_indexed, epochs=1)
        run_ours(folder, Unsaved, config_of(1))
        for _ in range(NUM_RUNS):
            for name, run in runs.items():
                begun = time.perf_counter()
                run(folder)
                times[name].append(time.perf_counter() - begun)
    seconds = {name: median(values) for name, values in times.items()}
    saving = _paired(lambda saved, ours: (saved - ours) / EPOCHS, times["ours, with checkpoints"], times["ours"])
    show(
        f"The training loop: {EPOCHS} epochs of {len(_dataset())} samples, median of {NUM_RUNS} interleaved runs",
        [
            *((f"{name}, seconds", f"{value:.2f}") for name, value in seconds.items()),
            ("a checkpoint each epoch, milliseconds each", f"{saving * 1e3:.0f}"),
            (
                "bare loop over the tensors / over a DataLoader",
                f"{_paired(truediv, times['bare'], times['bare, DataLoader']):.3g}",
            ),
            (
                "ours / bare loop over the same tensors",
                verdict(_paired(truediv, times["ours"], times["bare"]), GOAL_BARE),
            ),
            (
                "ours / bare loop over a DataLoader",
                verdict(_paired(truediv, times["ours"], times["bare, DataLoader"]), GOAL_LOADER),
            ),
        ],
    )


def _paired(compare: Callable[[float, float], float], ones: list[float], others: list[float]) -> float:
    """The median over the rounds, of values that were taken seconds apart."""
    return median([compare(one, other) for one, other in zip(ones, others, strict=True)])


def splits() -> Splits:
    """Real MNIST where its files are, else random tensors of that shape."""
    if _FILES.is_dir():
        from hpo.data.mnist import Mnist

        return Mnist(str(_FILES)).load(None)
    train, val = (TensorDataset(torch.rand(size, 1, 28, 28), torch.randint(10, (size,))) for size in (8000, 2000))
    return Splits(train=train, val=val)


def _dataset() -> TensorDataset:
    assert isinstance(Data.splits.train, TensorDataset)
    return Data.splits.train


def run_ours(parent: Path, kind: type[TrialHandle], config: DictConfig) -> None:
    """Train by the loop that ships, in this process, into a new directory below `parent`."""
    paths = TrialPaths(Path(tempfile.mkdtemp(dir=parent)))
    for directory in (paths.checkpoints, paths.best_checkpoints, paths.dashboard):
        directory.mkdir()
    trial = kind(config, paths, Metadata(paths.metadata, {"number": 0}), NullLink())
    info = TrialInfo(0, "0000_0000", str(paths.root), plain(config), {"optimizer_config.lr": LR}, ("val_loss",))
    trial.recorders = [get_class(node["_target_"])(info) for node in config.recorder.values()]
    handler = logging.FileHandler(paths.log)
    logger = logging.getLogger("hpo.train")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        metrics = train(trial)
        for recorder in trial.recorders:
            recorder.close(metrics)
    finally:
        logger.removeHandler(handler)
        handler.close()


def config_of(epochs: int = EPOCHS, hidden_size: int = HIDDEN_SIZE) -> DictConfig:
    """The run configuration of the benchmark's training."""
    config: DictConfig = OmegaConf.structured(RunConfig)
    for group, option in {
        "model_config": "mlp",
        "loss_config": "cross_entropy",
        "step_config": "supervised",
        "optimizer_config": "sgd",
        "parameter_config": "all",
        "metrics": "accuracy",
        "recorder": "default",
    }.items():
        config[group] = OmegaConf.load(_CONF / group / f"{option}.yaml")
    config.model_config.hidden_size = hidden_size
    config.optimizer_config.lr = LR
    config.optimizer_config.momentum = 0.0
    config.data_config = {"_target_": "tests.benchmarks.loop.Data"}
    config.scheduler_config = {
        "_target_": "torch.optim.lr_scheduler.ExponentialLR",
        "interval": "step",
        "gamma": GAMMA,
    }
    config.train_config.batch_size = BATCH_SIZE
    config.train_config.epochs = epochs
    config.device = "cpu"
    return config


Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


def _indexed() -> Batches:
    inputs, targets = _dataset().tensors
    for indices in torch.randperm(len(inputs)).split(BATCH_SIZE):
        yield inputs[indices], targets[indices]


def _loaded() -> Batches:
    return DataLoader(_dataset(), batch_size=BATCH_SIZE, shuffle=True)


def _bare(batches: Callable[[], Batches], epochs: int = EPOCHS) -> None:
    model = MLP(784, HIDDEN_SIZE, 10)
    loss_function = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    scheduler = ExponentialLR(optimizer, GAMMA)
    assert isinstance(Data.splits.val, TensorDataset)
    val_inputs, val_targets = Data.splits.val.tensors
    for _ in range(epochs):
        model.train()
        for inputs, targets in batches():
            optimizer.zero_grad()
            loss = loss_function(model(inputs), targets)
            loss.backward()
            optimizer.step()
            scheduler.step()
        model.eval()
        with torch.no_grad():
            num_right, loss_sum = 0.0, 0.0
            for chosen in torch.arange(len(val_inputs)).split(1024):
                outputs = model(val_inputs[chosen])
                loss_sum += loss_function(outputs, val_targets[chosen]).item() * len(chosen)
                num_right += (outputs.argmax(1) == val_targets[chosen]).sum().item()


if __name__ == "__main__":
    main()
