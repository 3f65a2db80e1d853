"""The trial as each of its processes sees it: rank 0 has the real one, and its decisions are everybody's."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from hpo.devices import CPU
from hpo.errors import ConfigError
from hpo.paths import TrialPaths
from hpo.trial.handle import TrialHandle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


is_rank: ContextVar[bool] = ContextVar("hpo_is_rank", default=False)
"""Whether this process is one of those that a trial of several has started."""


class SharedTrial:
    """A hpo.trial.protocol.Trial.

    What asks (`should_stop`, `will_lose`, `must_leave`, `restore`) is a collective: every rank has to call it, in
    the same order, and all of them get rank 0's answer. What tells is rank 0's alone.
    """

    def __init__(
        self, number: int, config: DictConfig, paths: TrialPaths, trial: TrialHandle | None = None
    ) -> None:
        """`trial` is the real one, in rank 0."""
        self.number = number
        self.config = config
        self.dir = paths
        self._trial = trial

    def log(self, record: Mapping[str, float | int]) -> None:
        if self._trial is not None:
            self._trial.log(record)

    def report(self, metrics: Mapping[str, float | int], step: int) -> None:
        if self._trial is not None:
            self._trial.report(metrics, step)

    def log_histograms(self, tensors: Mapping[str, NDArray[np.floating[Any]]], step: int) -> None:
        if self._trial is not None:
            self._trial.log_histograms(tensors, step)

    def log_images(self, tag: str, images: NDArray[np.uint8], step: int) -> None:
        if self._trial is not None:
            self._trial.log_images(tag, images, step)

    def should_stop(self) -> bool:
        return self._agreed(self._trial is not None and self._trial.should_stop())

    def will_lose(self) -> bool:
        return self._agreed(self._trial is not None and self._trial.will_lose())

    def must_leave(self) -> bool:
        return self._agreed(self._trial is not None and self._trial.must_leave())

    def save(self, state: Mapping[str, Any], step: int, *, best: bool = False) -> None:
        if self._trial is not None:
            self._trial.save(state, step, best=best)

    def restore(self) -> dict[str, Any] | None:
        from torch import distributed

        box = [self._trial.restore() if self._trial is not None else None]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def _agreed(self, answer: bool) -> bool:
        import torch
        from torch import distributed

        decision = torch.tensor(answer, dtype=torch.uint8)
        distributed.broadcast(decision, src=0)
        return bool(decision.item())


def join_group(config: DictConfig) -> None:
    """Let the ranks find each other: NCCL between GPUs, Gloo between CPUs and for what is no tensor of a GPU.

    Raises ConfigError where there are fewer GPUs than ranks.
    """
    import torch
    from torch import distributed

    backend = "gloo"
    if config.device != CPU and torch.cuda.is_available():
        size, num_devices = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if size > num_devices:
            raise ConfigError(
                f"processes_per_trial={size}: the trial has {num_devices} GPUs, and each process needs its own; "
                f"give it resources_per_trial.gpus={size}, or device=cpu"
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend)


def has_joined() -> bool:
    """Whether this process has called `join_group`."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.distributed.is_initialized())
