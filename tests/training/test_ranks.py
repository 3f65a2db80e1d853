"""How several processes divide batches among them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest
import torch
from omegaconf import OmegaConf
from torch import distributed
from torch.utils.data import Dataset, TensorDataset

from hpo.errors import ConfigError
from hpo.training.batches import make_batches
from hpo.training.ranks import Share, Together, check_batches

CPU = torch.device("cpu")


class Squares(Dataset[torch.Tensor]):
    """Loaded sample by sample, as it is no TensorDataset."""

    def __len__(self) -> int:
        return 21

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor(index)


DATASETS = {"held": TensorDataset(torch.arange(21)), "loaded": Squares()}


def batches_of(kind: str, share: Share | None, *, seed: int | None = 7) -> list[list[int]]:
    batches = make_batches(DATASETS[kind], CPU, batch_size=8, shuffle_seed=seed, share=share)
    parts = [batch[0] if isinstance(batch, tuple) else batch for batch in batches.epoch(2)]
    return [part.tolist() for part in parts]


@pytest.mark.parametrize("kind", DATASETS)
@pytest.mark.parametrize("size", [2, 3])
def test_parts_for_training_are_equally_large_and_together_the_batches_of_one_process(
    kind: str, size: int
) -> None:
    whole = batches_of(kind, None)
    parts = [batches_of(kind, Share(rank, size, is_even=True)) for rank in range(size)]

    for index, batch in enumerate(whole):
        of_batch = [part[index] for part in parts]
        assert len({len(each) for each in of_batch}) == 1
        assert set(chain(*of_batch)) == set(batch)
        # nothing is taken twice where the batch can be divided
        assert len(batch) % size or len(list(chain(*of_batch))) == len(batch)


@pytest.mark.parametrize("kind", DATASETS)
@pytest.mark.parametrize("seed", [None, 7])
def test_parts_for_evaluation_hold_each_sample_once(kind: str, seed: int | None) -> None:
    parts = [batches_of(kind, Share(rank, 6, is_even=False), seed=seed) for rank in range(6)]

    assert sorted(chain(*chain(*parts))) == list(range(21))
    # of the last batch, with five samples, the sixth process has none
    assert [len(part) for part in parts] == [3, 3, 3, 3, 3, 2]


@pytest.mark.parametrize("kind", DATASETS)
def test_the_batches_can_be_had_undivided(kind: str) -> None:
    divided = make_batches(DATASETS[kind], CPU, batch_size=8, shuffle_seed=7, share=Share(1, 2, is_even=False))
    whole = [batch[0] if isinstance(batch, tuple) else batch for batch in divided.whole().epoch(2)]

    assert [batch.tolist() for batch in whole] == batches_of(kind, None)
    assert [len(batch) for batch in batches_of(kind, Share(1, 2, is_even=False))] == [4, 4, 2]


@pytest.mark.parametrize(
    ("batch_size", "eval_batch_size", "key"), [(33, 64, "batch_size=33"), (32, 3, "eval_batch_size=3")]
)
def test_what_cannot_be_divided_is_told_by_its_key(batch_size: int, eval_batch_size: int, key: str) -> None:
    config = OmegaConf.create({"batch_size": batch_size, "eval_batch_size": eval_batch_size})
    with pytest.raises(ConfigError, match=f"train_config.{key}"):
        check_batches(config, 4)
    check_batches(config, 1)


@pytest.fixture
def group() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_a_part_of_the_model_that_is_called_by_itself_is_told() -> None:
    model = Together(torch.nn.ModuleDict({"critic": torch.nn.Linear(2, 1)}))

    with pytest.raises(ConfigError, match=r"uses model\.critic by itself"):
        model.critic(torch.zeros(1, 2))
    with pytest.raises(AttributeError):
        model.nowhere  # noqa: B018 - looking it up is what is tested
