"""Batches of (input, target) on the device: indexed out of tensors, or loaded by a DataLoader."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from hpo.errors import DataError
from hpo.training.seeding import epoch_generator

Batch = tuple[Tensor, Tensor]


class Batches(Protocol):
    """`num_batches` of an epoch, over `num_samples`."""

    num_batches: int
    num_samples: int

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """One pass; the order is a function of the seed and of `epoch` alone."""


class TensorBatches:
    """Batches of tensors that are held on the device whole."""

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        device: torch.device,
        *,
        batch_size: int,
        shuffle_seed: int | None = None,
        drop_last: bool = False,
    ) -> None:
        self._inputs = inputs.to(device)
        self._targets = targets.to(device)
        self._batch_size = batch_size
        self._shuffle_seed = shuffle_seed
        num_samples = len(inputs)
        self.num_batches = num_samples // batch_size if drop_last else math.ceil(num_samples / batch_size)
        self.num_samples = min(num_samples, self.num_batches * batch_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        if self._shuffle_seed is None:
            for start in range(0, self.num_samples, self._batch_size):
                chosen = slice(start, min(start + self._batch_size, self.num_samples))
                yield self._inputs[chosen], self._targets[chosen]
            return
        # drawn on the CPU, so that the order is the same on every device
        order = torch.randperm(len(self._inputs), generator=epoch_generator(self._shuffle_seed, epoch))
        for indices in torch.split(order[: self.num_samples].to(self._inputs.device), self._batch_size):
            # the same as indexing with them, in half the time
            yield self._inputs.index_select(0, indices), self._targets.index_select(0, indices)


class LoadedBatches:
    """Batches that a DataLoader collects, sample by sample, in `num_workers` processes."""

    def __init__(
        self,
        dataset: Dataset[Any],
        device: torch.device,
        *,
        batch_size: int,
        shuffle_seed: int | None = None,
        drop_last: bool = False,
        num_workers: int = 0,
    ) -> None:
        self._device = device
        self._seed = shuffle_seed or 0
        # not persistent: workers seeded anew in each epoch make it a function of the epoch's generator
        self._loader: DataLoader[Batch] = DataLoader(
            dataset,
            batch_size=batch_size,
            shuffle=shuffle_seed is not None,
            drop_last=drop_last,
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),
        )
        self.num_batches = len(self._loader)
        num_samples = len(cast(Sized, dataset))
        self.num_samples = self.num_batches * batch_size if drop_last else num_samples

    def epoch(self, epoch: int) -> Iterator[Batch]:
        self._loader.generator.set_state(epoch_generator(self._seed, epoch).get_state())
        for inputs, targets in self._loader:
            yield inputs.to(self._device, non_blocking=True), targets.to(self._device, non_blocking=True)


def make_batches(
    dataset: Dataset[Any],
    device: torch.device,
    *,
    batch_size: int,
    shuffle_seed: int | None = None,
    drop_last: bool = False,
    num_workers: int = 0,
) -> Batches:
    """Batches of `dataset`, shuffled when there is a seed. Raises DataError when there would be none."""
    if not isinstance(dataset, Sized):
        raise DataError(
            f"a dataset needs a length, which {type(dataset).__name__} has not: "
            "epochs and total_steps are counted in it"
        )
    batches: Batches
    tensors = _tensors(dataset)
    if tensors is not None:
        inputs, targets = tensors
        batches = TensorBatches(
            inputs, targets, device, batch_size=batch_size, shuffle_seed=shuffle_seed, drop_last=drop_last
        )
    else:
        batches = LoadedBatches(
            dataset,
            device,
            batch_size=batch_size,
            shuffle_seed=shuffle_seed,
            drop_last=drop_last,
            num_workers=num_workers,
        )
    if batches.num_batches == 0:
        raise DataError(f"{len(dataset)} samples give no batch of {batch_size} (train_config.batch_size)")
    return batches


def _tensors(dataset: Dataset[Any]) -> Batch | None:
    """What a plain TensorDataset holds; a subclass may do more than hand it out."""
    if type(dataset) is TensorDataset and len(dataset.tensors) == 2:
        return dataset.tensors[0], dataset.tensors[1]
    return None
