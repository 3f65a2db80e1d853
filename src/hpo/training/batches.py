"""Batches on the device: indexed out of tensors, or loaded by a DataLoader."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Sized
from copy import copy
from itertools import islice
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    TensorDataset,
)

from hpo.errors import ConfigError, DataError
from hpo.training.ranks import Share
from hpo.training.seeding import epoch_generator
from hpo.training.step import Batch


class Batches(Protocol):
    """`num_batches` of an epoch, over `num_samples`."""

    num_batches: int
    num_samples: int

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """One pass; the order is a function of the seed and of `epoch` alone.

        Of several processes each gets its part of every batch. The first `skip` batches are left out; what making
        them draws has been drawn when this returns.
        """

    def whole(self) -> Batches:
        """The same ones, undivided."""


class TensorBatches:
    """Batches of tensors that are held on the device whole; of the samples that `indices` names, if it does."""

    def __init__(
        self,
        tensors: Sequence[Tensor],
        device: torch.device,
        *,
        batch_size: int,
        shuffle_seed: int | None = None,
        drop_last: bool = False,
        indices: Tensor | None = None,
        share: Share | None = None,
    ) -> None:
        if indices is not None and device.type != "cpu":
            # another device gets its own copy anyway
            tensors, indices = [tensor[indices] for tensor in tensors], None
        self.tensors = [tensor.to(device) for tensor in tensors]
        self._indices = indices
        self._batch_size = batch_size
        self._shuffle_seed = shuffle_seed
        self._share = share
        self._num_samples = len(tensors[0]) if indices is None else len(indices)
        num_batches = self._num_samples / batch_size
        self.num_batches = math.floor(num_batches) if drop_last else math.ceil(num_batches)
        self.num_samples = min(self._num_samples, self.num_batches * batch_size)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        order = self._order(epoch)
        if self._share is not None and order is None:
            order = torch.arange(self._num_samples, device=self.tensors[0].device)
        first = skip * self._batch_size
        if order is None:
            for start in range(first, self.num_samples, self._batch_size):
                chosen = slice(start, min(start + self._batch_size, self.num_samples))
                yield tuple(tensor[chosen] for tensor in self.tensors)
            return
        if first >= self.num_samples:
            return  # splitting nothing gives one batch, of nothing
        for indices in torch.split(order[first : self.num_samples], self._batch_size):
            rows = indices if self._share is None else self._share.of_tensor(indices)
            if len(rows):
                # the same as indexing with them, in half the time
                yield tuple([tensor.index_select(0, rows) for tensor in self.tensors])

    def whole(self) -> Batches:
        whole = copy(self)
        whole._share = None
        return whole

    def _order(self, epoch: int) -> Tensor | None:
        """The rows in their order; None where they stand in it already."""
        if self._shuffle_seed is None:
            return self._indices
        # drawn on the CPU, so that the order is the same on every device
        order = torch.randperm(self._num_samples, generator=epoch_generator(self._shuffle_seed, epoch))
        return self._indices[order] if self._indices is not None else order.to(self.tensors[0].device)


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
        share: Share | None = None,
    ) -> None:
        self._dataset = dataset
        self._device = device
        self._seed = shuffle_seed or 0
        self._num_workers = num_workers
        self._generator = torch.Generator()
        sampler: Sampler[int] = SequentialSampler(cast(Sized, dataset))
        if shuffle_seed is not None:
            sampler = RandomSampler(cast(Sized, dataset), generator=self._generator)
        self._sampler = BatchSampler(sampler, batch_size, drop_last)
        self._loader = self._load(share)
        self.num_batches = len(self._sampler)
        num_samples = len(cast(Sized, dataset))
        self.num_samples = self.num_batches * batch_size if drop_last else num_samples

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        self._generator.set_state(epoch_generator(self._seed, epoch).get_state())
        batches = iter(self._loader)
        # loaded all the same: a dataset that draws must come to where it was
        for _ in islice(batches, skip):
            pass
        return (_moved(batch, self._device) for batch in batches)

    def whole(self) -> Batches:
        whole = copy(self)
        whole._loader = self._load(None)
        return whole

    def _load(self, share: Share | None) -> DataLoader[Batch]:
        # not persistent: workers seeded anew in each epoch make it a function of the epoch's generator
        return DataLoader(
            self._dataset,
            batch_sampler=self._sampler if share is None else _Parts(self._sampler, share),
            num_workers=self._num_workers,
            pin_memory=self._device.type == "cuda",
            generator=self._generator,
            worker_init_fn=share.draw_otherwise if share is not None else None,
        )


class _Parts(Sampler[list[int]]):
    """One process's part of each batch, where there is one."""

    def __init__(self, batches: BatchSampler, share: Share) -> None:
        self._batches = batches
        self._share = share

    def __iter__(self) -> Iterator[list[int]]:
        return (part for batch in self._batches if (part := self._share.of(batch)))

    def __len__(self) -> int:
        return len(self._batches)


def make_batches(
    dataset: Dataset[Any],
    device: torch.device,
    *,
    batch_size: int,
    shuffle_seed: int | None = None,
    drop_last: bool = False,
    num_workers: int = 0,
    share: Share | None = None,
) -> Batches:
    """Batches of `dataset`, shuffled when there is a seed; this process's `share` of each.

    Raises DataError when there would be none.
    """
    num_samples = _length(dataset)
    if num_samples == 0:
        raise DataError(f"data_config: the dataset ({type(dataset).__name__}) has no samples")
    batches: Batches
    held = _held(dataset)
    if held is not None:
        tensors, indices = held
        batches = TensorBatches(
            tensors,
            device,
            batch_size=batch_size,
            shuffle_seed=shuffle_seed,
            drop_last=drop_last,
            indices=indices,
            share=share,
        )
    else:
        batches = LoadedBatches(
            dataset,
            device,
            batch_size=batch_size,
            shuffle_seed=shuffle_seed,
            drop_last=drop_last,
            num_workers=num_workers,
            share=share,
        )
    if batches.num_batches == 0:
        raise DataError(
            f"data_config: {num_samples} samples give no batch of train_config.batch_size={batch_size} with "
            "train_config.drop_last=true"
        )
    return batches


def subsample(dataset: Dataset[Any], fraction: float, batch_size: int, seed: int) -> Dataset[Any]:
    """The samples of that fraction of the batches, at least of one, drawn by `seed`.

    Raises ConfigError for a fraction that is none.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"eval_subsample={fraction} must be above 0 and at most 1")
    if fraction == 1:
        return dataset
    num_samples = _length(dataset)
    num_batches = math.ceil(num_samples / batch_size)
    drawn = np.random.default_rng(seed).permutation(num_batches)[: max(1, round(fraction * num_batches))]
    starts = np.sort(drawn) * batch_size
    chosen = [index for start in starts.tolist() for index in range(start, min(start + batch_size, num_samples))]
    return Subset(dataset, chosen)


def _length(dataset: Dataset[Any]) -> int:
    if not isinstance(dataset, Sized):
        raise DataError(
            f"data_config: a dataset needs a length, which {type(dataset).__name__} has not: "
            "epochs and total_steps are counted in it"
        )
    return len(dataset)


def _held(dataset: Dataset[Any]) -> tuple[Sequence[Tensor], Tensor | None] | None:
    """The tensors of a plain TensorDataset, and which of their rows a Subset of it takes.

    A subclass may do more than hand them out.
    """
    if type(dataset) is TensorDataset:
        return dataset.tensors, None
    if type(dataset) is not Subset:
        return None
    below = _held(dataset.dataset)
    if below is None:
        return None
    tensors, rows = below
    indices = torch.as_tensor(dataset.indices, dtype=torch.int64)
    return tensors, indices if rows is None else rows[indices]


def _moved(batch: Batch, device: torch.device) -> Batch:
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: _moved(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        return [_moved(value, device) for value in batch]
    return batch
