"""The processes that train one model together, as the loop sees them; one alone where there are no others."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from hpo.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """What one of `size` processes takes of each batch.

    Where it `is_even` all take equally many, so that the mean of their gradients is that of the batch: one that
    cannot be divided is filled up with its first samples, as with torch's DistributedSampler.
    """

    rank: int
    size: int
    is_even: bool

    def of(self, indices: Sequence[int]) -> list[int]:
        """Its part of a batch; nothing is possible where it need not be even."""
        if self.must_be_filled(len(indices)):
            whole = -(-len(indices) // self.size) * self.size
            indices = [indices[position % len(indices)] for position in range(whole)]
        return list(indices[self.rank :: self.size])

    def of_tensor(self, indices: Tensor) -> Tensor:
        """`of` for a tensor (N,), without a list of what it takes in all but an epoch's last batch."""
        if self.must_be_filled(len(indices)):
            return indices[self.of(range(len(indices)))]
        return indices[self.rank :: self.size]

    def must_be_filled(self, num: int) -> bool:
        return self.is_even and num % self.size > 0

    def draw_otherwise(self, _: int) -> None:
        """In a worker of a DataLoader: draw otherwise than those of other ranks; the first draws as ever."""
        if self.rank:
            _seed(torch.initial_seed(), self.rank)


def rank_and_size() -> tuple[int, int]:
    """Which of the processes this is, and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def share(*, is_even: bool) -> Share | None:
    """What this process takes of each batch; None where it has them whole."""
    rank, size = rank_and_size()
    return Share(rank, size, is_even) if size > 1 else None


def of_all(value: Any) -> list[Any]:
    """What each process gave, by rank."""
    _, size = rank_and_size()
    if size == 1:
        return [value]
    values: list[Any] = [None] * size
    distributed.all_gather_object(values, value)
    return values


def of_the_first(value: Any) -> Any:
    """What rank 0 gave."""
    if rank_and_size()[1] == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def gathered(value: Mapping[str, Any]) -> list[Any]:
    """In rank 0, what each of the others gave, by rank; nothing elsewhere."""
    rank, size = rank_and_size()
    if size == 1:
        return []
    values: list[Any] | None = [None] * size if rank == 0 else None
    distributed.gather_object(value, values, dst=0)
    return values[1:] if values is not None else []


def together(model: nn.Module, *, find_unused_parameters: bool) -> nn.Module:
    """The model with gradients that are the mean over all processes; itself where this one is alone.

    All have the weights of rank 0 from now on.
    """
    if rank_and_size()[1] == 1:
        return model
    return Together(model, find_unused_parameters=find_unused_parameters)


class Together(DistributedDataParallel):
    """DistributedDataParallel that says why a part of the model cannot be called by itself."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            module = self._modules.get("module")
            if module is not None and hasattr(module, name):
                raise ConfigError(
                    f"step_config: the step uses model.{name} by itself, but the processes of a trial bring their "
                    "gradients together where the model is called as a whole; call it so, or set "
                    "processes_per_trial=1"
                ) from None
            raise


def draw_otherwise(seed: int) -> None:
    """Let what this process draws from now on differ from the other ranks'; the first draws as ever."""
    rank, _ = rank_and_size()
    if rank:
        _seed(seed, rank)


def _seed(seed: int, rank: int) -> None:
    drawn = np.random.SeedSequence((seed, rank)).generate_state(3, np.uint32).tolist()
    random.seed(drawn[0])
    np.random.seed(drawn[1])
    torch.manual_seed(drawn[2])


def check_batches(train_config: Any, num_processes: int) -> None:
    """Raise ConfigError where a batch cannot be divided among the processes."""
    if num_processes > 1 and train_config.batch_size % num_processes:
        raise ConfigError(
            f"train_config.batch_size={train_config.batch_size} is what the {num_processes} processes of a trial "
            "(processes_per_trial) take together, each its part: it must be a multiple of that"
        )
    if train_config.eval_batch_size < num_processes:
        raise ConfigError(
            f"train_config.eval_batch_size={train_config.eval_batch_size} must be at least the {num_processes} "
            "processes of a trial (processes_per_trial), which divide it"
        )
