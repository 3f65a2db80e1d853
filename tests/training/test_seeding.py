from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch

from hpo.errors import ConfigError
from hpo.training.device import choose_device
from hpo.training.seeding import epoch_generator, rng_state, seed_everything, set_rng_state


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_every_generator_is_seeded():
    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_numpy_would_refuse_is_named(seed):
    with pytest.raises(ConfigError, match=f"random_seed={seed} must lie between 0 and 4294967295"):
        seed_everything(seed)


def test_the_largest_seed_works_everywhere():
    seed_everything(2**32 - 1)
    epoch_generator(2**32 - 1, 10**6)


def test_every_generator_can_be_set_back_to_a_state_that_was_saved():
    seed_everything(7)
    random.gauss(0, 1)  # leaves a second value waiting in the generator
    buffer = io.BytesIO()
    torch.save(rng_state(), buffer)
    expected = draw(), random.gauss(0, 1)
    buffer.seek(0)
    set_rng_state(torch.load(buffer))
    assert (draw(), random.gauss(0, 1)) == expected


def test_the_generator_of_a_device_that_is_gone_is_left_out(monkeypatch):
    seed_everything(7)
    state = rng_state() | {"cuda": [torch.get_rng_state()]}
    expected = draw()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    set_rng_state(state)
    assert draw() == expected


def test_auto_is_the_cpu_where_there_is_no_cuda_and_cuda_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="torch finds no CUDA device"):
        choose_device("cuda")
    with pytest.raises(ConfigError, match="device='gpu' is not known; allowed are auto, cpu and cuda"):
        choose_device("gpu")
