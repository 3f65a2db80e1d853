from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hpo.conf
import pytest
import torch
from hydra.utils import execution_whitelist
from omegaconf import DictConfig, OmegaConf

from hpo.config import RunConfig
from hpo.paths import TrialPaths
from hpo.targets import BUILT_IN

CONF = Path(str(hpo.conf.__file__)).parent


@pytest.fixture(autouse=True)
def allowed_targets() -> Iterator[None]:
    with execution_whitelist((*BUILT_IN, "tests.training.toy_problem.*")):
        yield


class RecordingTrial:
    """A trial that keeps what its task does, in order; checkpoints go through a file, as real ones do."""

    number = 0

    def __init__(self, config: DictConfig, root: Path) -> None:
        self.config = config
        self.dir = TrialPaths(root)
        self.records: list[dict[str, float | int]] = []
        self.reports: list[tuple[int, dict[str, float | int]]] = []
        self.saved: list[tuple[int, bool, dict[str, Any]]] = []
        self.histograms: list[tuple[int, dict[str, Any]]] = []
        self.images: list[tuple[int, Any]] = []
        self.calls: list[str] = []
        self.stop_after: int | None = None
        self.loses_after: int | None = None

    def log(self, record: Mapping[str, float | int]) -> None:
        self.calls.append("log")
        self.records.append(dict(record))

    def report(self, metrics: Mapping[str, float | int], step: int) -> None:
        self.calls.append("report")
        self.records.append(dict(metrics))
        self.reports.append((step, dict(metrics)))

    def log_histograms(self, tensors: Mapping[str, Any], step: int) -> None:
        self.histograms.append((step, dict(tensors)))

    def log_images(self, tag: str, images: Any, step: int) -> None:
        self.images.append((step, images))

    def will_lose(self) -> bool:
        return len(self.reports) == self.loses_after

    def must_leave(self) -> bool:
        return False

    def should_stop(self) -> bool:
        return len(self.reports) == self.stop_after

    def save(self, state: Mapping[str, Any], step: int, *, best: bool = False) -> None:
        self.calls.append("save")
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        buffer.seek(0)
        self.saved.append((step, best, torch.load(buffer)))
        if best:
            self.dir.best_checkpoints.mkdir(parents=True, exist_ok=True)
            for old in self.dir.best_checkpoints.iterdir():
                old.unlink()
            self.dir.best_checkpoint(step).write_bytes(buffer.getvalue())

    def restore(self) -> dict[str, Any] | None:
        return self.saved[-1][2] if self.saved else None


@pytest.fixture
def make_config() -> Callable[..., DictConfig]:
    """A run configuration out of the shipped groups: digits of 2 epochs with a small MLP, unless overridden.

    A value is an option of the group of that name, or a mapping that is the node itself.
    """

    def make(dotlist: tuple[str, ...] = (), **groups: Any) -> DictConfig:
        config = OmegaConf.structured(RunConfig)
        chosen = {
            "model_config": "mlp",
            "data_config": "digits",
            "loss_config": "cross_entropy",
            "step_config": "supervised",
            "optimizer_config": "sgd",
            "parameter_config": "all",
            "scheduler_config": "none",
            "train_config": "default",
            "metrics": "accuracy",
        } | groups
        for group, option in chosen.items():
            node = OmegaConf.load(CONF / group / f"{option}.yaml") if isinstance(option, str) else option
            config[group] = OmegaConf.merge(config[group], node) if group == "train_config" else node
        defaults = ["model_config.hidden_size=16", "train_config.epochs=2"]
        for line in (*(line for line in defaults if line.split(".")[0] not in groups), *dotlist):
            key, _, value = line.partition("=")
            OmegaConf.update(config, key, OmegaConf.from_dotlist([f"value={value}"]).value)
        return config

    return make


@pytest.fixture
def make_trial(make_config, tmp_path) -> Callable[..., RecordingTrial]:
    def make(*dotlist: str, **groups: Any) -> RecordingTrial:
        return RecordingTrial(make_config(dotlist, **groups), tmp_path)

    return make
