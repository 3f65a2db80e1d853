from __future__ import annotations

from itertools import islice

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.search.samples import corners, random_samples
from hpo.search.tree import SearchSpace

SPACE = SearchSpace.of(
    {
        "lr": FloatDistribution(1e-4, 1e-1, log=True),
        "n": IntDistribution(1, 9, step=2),
        "c": CategoricalDistribution([None, "a", 3]),
    }
)


def test_the_corners_are_both_ends_of_all_parameters() -> None:
    assert list(corners(SPACE)) == [{"lr": 1e-4, "n": 1, "c": None}, {"lr": 1e-1, "n": 9, "c": 3}]
    assert list(corners(SearchSpace())) == [{}, {}]


def test_random_samples_are_of_the_space_and_equal_for_equal_seeds() -> None:
    drawn = list(islice(random_samples(SPACE, 1), 50))

    assert {params["n"] for params in drawn} == {1, 3, 5, 7, 9}
    assert {params["c"] for params in drawn} == {None, "a", 3}
    assert drawn == list(islice(random_samples(SPACE, 1), 50))
    assert drawn != list(islice(random_samples(SPACE, 2), 50))
