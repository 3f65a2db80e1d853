from __future__ import annotations

from pathlib import Path

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler

from hpo.config import Direction
from hpo.errors import SearchSpaceError
from hpo.objectives import Objective
from hpo.paths import ExperimentPaths
from hpo.records import State
from hpo.search.study import Study
from hpo.search.tree import SearchSpace
from hpo.search.wider import check_wider

LOSS = (Objective("loss", Direction.min),)
SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0.0, 1.0),
    "n": IntDistribution(1, 8, log=True),
    "kind": CategoricalDistribution([1, "b"]),
}


@pytest.fixture
def paths(tmp_path: Path) -> ExperimentPaths:
    """An experiment with a study of two trials."""
    paths = ExperimentPaths(tmp_path, "mine")
    paths.root.mkdir()
    study = Study(lambda number: RandomSampler(seed=number), SearchSpace.of(SPACE), LOSS, paths.study_db, "mine")
    study.tell(study.ask({"x": 0.25, "n": 2, "kind": "b"}).number, State.COMPLETE, [1.0])
    study.ask({"x": 0.5, "n": 8, "kind": 1})
    study.close()
    return paths


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"x": FloatDistribution(-1.0, 1.0)},
        {"n": IntDistribution(1, 64, log=True)},
        {"kind": CategoricalDistribution(["a", "b", 1])},
        {"more": FloatDistribution(0.0, 1.0)},
    ],
)
def test_a_space_may_get_wider(paths: ExperimentPaths, changed: dict[str, BaseDistribution]) -> None:
    check_wider(paths, SearchSpace.of(SPACE | changed))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"x": FloatDistribution(0.1, 1.0)}, "x: 0.0 to 1.0 -> 0.1 to 1.0"),
        ({"x": FloatDistribution(0.0, 1.0, step=0.5)}, "x: 0.0 to 1.0 -> 0.0 to 1.0 in steps of 0.5"),
        ({"x": IntDistribution(0, 1)}, "x: 0.0 to 1.0 -> 0 to 1, whole numbers"),
        ({"n": IntDistribution(1, 8)}, "n: 1 to 8, whole numbers (log) -> 1 to 8, whole numbers"),
        ({"kind": CategoricalDistribution([True, "b"])}, "kind: 1, b -> true, b"),
    ],
)
def test_one_that_lost_something_is_refused_with_the_difference(
    paths: ExperimentPaths, changed: dict[str, BaseDistribution], told: str
) -> None:
    with pytest.raises(SearchSpaceError) as caught:
        check_wider(paths, SearchSpace.of(SPACE | changed))

    assert f"  {told}" in str(caught.value).splitlines()
    with pytest.raises(SearchSpaceError, match=r"x: 0\.0 to 1\.0 -> not searched"):
        check_wider(paths, SearchSpace.of({"n": SPACE["n"]}))


def test_a_study_that_was_never_begun_holds_nothing(tmp_path: Path) -> None:
    paths = ExperimentPaths(tmp_path, "mine")
    paths.root.mkdir()
    check_wider(paths, SearchSpace())
    paths.study_db.touch()
    check_wider(paths, SearchSpace())


def test_what_was_tried_is_known_in_the_wider_space_in_memory_and_on_disk(paths: ExperimentPaths) -> None:
    wider = SPACE | {"x": FloatDistribution(-1.0, 2.0), "kind": CategoricalDistribution(["a", "b", 1])}

    for _ in range(2):
        study = Study(
            lambda number: RandomSampler(seed=number), SearchSpace.of(wider), LOSS, paths.study_db, "mine"
        )
        assert [trial.params for trial in study.trials] == [
            {"x": 0.25, "n": 2, "kind": "b"},
            {"x": 0.5, "n": 8, "kind": 1},
        ]
        assert [dict(trial.distributions) for trial in study.trials] == [wider, wider]
        study.close()
