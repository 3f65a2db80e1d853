from __future__ import annotations

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.search.spelled import spelled_values


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (FloatDistribution(1e-4, 0.1, log=True), "0.0001 to 0.1 (log)"),
        (FloatDistribution(0.0, 1.0, step=0.25), "0.0 to 1.0 in steps of 0.25"),
        (IntDistribution(32, 512), "32 to 512, whole numbers"),
        (IntDistribution(1, 9, log=True), "1 to 9, whole numbers (log)"),
        (IntDistribution(0, 8, step=4), "0 to 8 in steps of 4"),
        (CategoricalDistribution([None, "null", True, 1.5, "c,d"]), "null, 'null', true, 1.5, 'c,d'"),
    ],
)
def test_a_distribution_is_told_in_words(kind: BaseDistribution, words: str) -> None:
    assert spelled_values(kind) == words
