from __future__ import annotations

import numpy as np
import pytest

from hpo.data.hold_out import check_fraction, hold_out
from hpo.errors import DataError


def test_kept_and_held_are_all_samples_once():
    kept, held = hold_out(101, 0.25, seed=3)
    assert len(held) == 25
    assert sorted([*kept, *held]) == list(range(101))


def test_the_seed_decides_what_is_held():
    assert np.array_equal(hold_out(100, 0.1, seed=1)[1], hold_out(100, 0.1, seed=1)[1])
    assert not np.array_equal(hold_out(100, 0.1, seed=1)[1], hold_out(100, 0.1, seed=2)[1])


@pytest.mark.parametrize(("fraction", "num_held"), [(0.001, 1), (0.999, 9)])
def test_no_part_is_empty(fraction, num_held):
    assert len(hold_out(10, fraction, seed=0)[1]) == num_held


@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan")])
def test_a_fraction_that_is_none_is_named(fraction):
    with pytest.raises(DataError, match=rf"data_config\.val_fraction={fraction} must lie between 0 and 1"):
        check_fraction("val_fraction", fraction)


@pytest.mark.parametrize("num_samples", [0, 1])
def test_what_cannot_be_split_is_an_error(num_samples):
    with pytest.raises(DataError, match=rf"{num_samples} samples? cannot be split .* data_config\.val_fraction"):
        hold_out(num_samples, 0.5, seed=0)
