from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from hpo.errors import DataError
from hpo.training.batches import LoadedBatches, TensorBatches, make_batches

CPU = torch.device("cpu")
INPUTS = torch.arange(10.0)[:, None]
TARGETS = torch.arange(10)


class Items(Dataset):
    """The same samples, one by one."""

    def __len__(self):
        return len(INPUTS)

    def __getitem__(self, index):
        return INPUTS[index], TARGETS[index]


class Noise(Dataset):
    """A sample of each generator that a dataset may draw from."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.rand(1, dtype=torch.float64), torch.tensor(np.random.rand())


@pytest.fixture(params=[TensorDataset(INPUTS, TARGETS), Items()], ids=["tensors", "items"])
def dataset(request):
    return request.param


def targets_of(batches, epoch=1):
    return [targets.tolist() for _, targets in batches.epoch(epoch)]


def test_tensors_are_indexed_and_everything_else_is_loaded():
    class Transformed(TensorDataset):
        pass

    for dataset, kind in (
        (TensorDataset(INPUTS, TARGETS), TensorBatches),
        (Transformed(INPUTS, TARGETS), LoadedBatches),
        (Items(), LoadedBatches),
    ):
        assert type(make_batches(dataset, CPU, batch_size=4)) is kind


def test_without_a_seed_the_order_is_the_datasets(dataset):
    batches = make_batches(dataset, CPU, batch_size=4)
    assert targets_of(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert (batches.num_batches, batches.num_samples) == (3, 10)


def test_the_last_batch_can_be_dropped(dataset):
    batches = make_batches(dataset, CPU, batch_size=4, drop_last=True)
    assert targets_of(batches) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert (batches.num_batches, batches.num_samples) == (2, 8)


def test_dropping_drops_nothing_from_batches_that_are_whole(dataset):
    batches = make_batches(dataset, CPU, batch_size=5, drop_last=True)
    assert (batches.num_batches, batches.num_samples) == (2, 10)
    assert len(targets_of(batches)) == 2


def test_a_shuffled_epoch_has_every_sample_once_with_its_own_target(dataset):
    batches = make_batches(dataset, CPU, batch_size=4, shuffle_seed=1)
    inputs, targets = (torch.cat(parts) for parts in zip(*batches.epoch(1), strict=True))
    assert sorted(targets.tolist()) == list(range(10))
    assert torch.equal(inputs[:, 0], targets.float())


def test_the_order_is_a_function_of_seed_and_epoch(dataset):
    first = make_batches(dataset, CPU, batch_size=4, shuffle_seed=1)
    epochs = [targets_of(first, epoch) for epoch in (1, 2, 3)]
    assert epochs[0] != epochs[1] != epochs[2]
    again = make_batches(dataset, CPU, batch_size=4, shuffle_seed=1)
    torch.rand(7)
    # the third epoch does not need the first two, which a resumed trial skips
    assert targets_of(again, 3) == epochs[2]
    assert targets_of(make_batches(dataset, CPU, batch_size=4, shuffle_seed=2)) != epochs[0]


def test_a_seeds_second_epoch_is_not_the_next_seeds_first():
    dataset = TensorDataset(INPUTS, TARGETS)
    first, second = (make_batches(dataset, CPU, batch_size=10, shuffle_seed=seed) for seed in (1, 2))
    assert targets_of(first, 2) != targets_of(second, 1)


def test_shuffling_leaves_the_global_generator_alone(dataset):
    batches = make_batches(dataset, CPU, batch_size=4, shuffle_seed=1)
    before = torch.get_rng_state()
    targets_of(batches)
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_draw_different_numbers_the_same_in_each_run():
    def draw(epoch):
        batches = make_batches(Noise(), CPU, batch_size=1, shuffle_seed=1, num_workers=2)
        return [value.item() for batch in batches.epoch(epoch) for value in batch]

    first = draw(1)
    assert len(set(first)) == len(first)
    assert draw(1) == first
    assert draw(2) != first


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_an_epoch_can_begin_after_some_of_its_batches(dataset, seed, drop_last, skip):
    batches = make_batches(dataset, CPU, batch_size=4, shuffle_seed=seed, drop_last=drop_last)
    rest = [targets.tolist() for _, targets in batches.epoch(3, skip=skip)]
    assert rest == targets_of(batches, 3)[skip:]


def test_so_can_one_over_some_rows_of_the_tensors():
    dataset = Subset(TensorDataset(INPUTS, TARGETS), [9, 3, 4, 0, 7])
    batches = make_batches(dataset, CPU, batch_size=2)
    assert isinstance(batches, TensorBatches)
    assert [targets.tolist() for _, targets in batches.epoch(1, skip=1)] == [[4, 0], [7]]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_what_batches_that_are_left_out_would_have_drawn_is_drawn_before_the_others(num_workers):
    batches = make_batches(Noise(), CPU, batch_size=1, shuffle_seed=1, num_workers=num_workers)
    torch.manual_seed(5)
    np.random.seed(5)
    whole = [[value.item() for value in batch] for batch in batches.epoch(1)]
    torch.manual_seed(5)
    np.random.seed(5)
    rest = batches.epoch(1, skip=2)
    if num_workers == 0:
        after_two = torch.get_rng_state()
        torch.manual_seed(5)
        torch.rand(2, dtype=torch.float64)
        assert torch.equal(torch.get_rng_state(), after_two)
    assert [[value.item() for value in batch] for batch in rest] == whole[2:]


def test_a_dataset_smaller_than_its_only_batch_is_an_error():
    with pytest.raises(DataError, match=r"10 samples give no batch of train_config\.batch_size=16"):
        make_batches(TensorDataset(INPUTS, TARGETS), CPU, batch_size=16, drop_last=True)


def test_a_dataset_without_a_length_is_named():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(DataError, match="needs a length, which Stream has not"):
        make_batches(Stream(), CPU, batch_size=16)
