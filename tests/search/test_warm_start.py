from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from hpo.config import Direction
from hpo.errors import ConfigError
from hpo.objectives import Objective
from hpo.search.sampler import without_experimental_warnings
from hpo.search.tree import Parameter, SearchSpace
from hpo.search.warm_start import WarmStart, read_warm_start

LOSS = (Objective("loss", Direction.min),)
SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0.0, 1.0),
    "kind": CategoricalDistribution(["a", "b"]),
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A study with a complete, a pruned and a failed trial of SPACE."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    study = optuna.create_study(storage=storage)
    with without_experimental_warnings():
        study.set_metric_names(["loss"])
    params = {"x": 0.75, "kind": "b"}
    for state, value, reports in (
        (TrialState.COMPLETE, 0.5, {}),
        (TrialState.PRUNED, None, {1: 0.9}),
        (TrialState.FAIL, None, {}),
    ):
        study.add_trial(
            create_trial(state=state, value=value, params=params, distributions=SPACE, intermediate_values=reports)
        )
    storage.remove_session()
    storage.engine.dispose()
    return f"sqlite:///{tmp_path}/study.db"


def test_complete_and_pruned_trials_are_taken_with_what_they_reported(url: str) -> None:
    warm = read_warm_start(url, SearchSpace.of(SPACE), LOSS)

    assert [(trial.state, trial.value) for trial in warm.trials] == [
        (TrialState.COMPLETE, 0.5),
        (TrialState.PRUNED, None),
    ]
    assert warm.trials[1].intermediate_values == {1: 0.9}
    assert str(warm.said).startswith("warm_start: 2 of the 2 finished trials")


def test_nothing_to_start_from_is_nothing() -> None:
    assert read_warm_start(None, SearchSpace.of(SPACE), LOSS) == WarmStart()


@pytest.mark.parametrize(
    "space",
    [
        SPACE | {"x": FloatDistribution(0.0, 0.5)},
        SPACE | {"y": IntDistribution(0, 5)},
        {"x": SPACE["x"]},
    ],
    ids=["narrower", "another key", "a key less"],
)
def test_a_trial_that_is_none_of_the_new_space_is_left_out(url: str, space: dict[str, BaseDistribution]) -> None:
    assert read_warm_start(url, SearchSpace.of(space), LOSS).trials == []


def test_a_trial_of_a_wider_space_has_its_distributions(url: str) -> None:
    wider = SPACE | {"x": FloatDistribution(-5.0, 5.0)}

    first, _ = read_warm_start(url, SearchSpace.of(wider), LOSS).trials

    assert first.distributions == wider


def test_a_trial_without_what_its_option_opens_is_left_out(url: str) -> None:
    x, kind = (Parameter(key, key, distribution, key) for key, distribution in SPACE.items())
    depth = Parameter("depth", "depth", IntDistribution(1, 9), "depth")
    opens_a = Parameter("kind", "kind", kind.distribution, "kind", branches={"a": (depth,)})
    opens_b = Parameter("kind", "kind", kind.distribution, "kind", branches={"b": (depth,)})

    assert len(read_warm_start(url, SearchSpace((x, opens_a)), LOSS).trials) == 2
    assert read_warm_start(url, SearchSpace((x, opens_b)), LOSS).trials == []


@pytest.mark.parametrize(
    ("space", "objectives", "complaint"),
    [
        (SPACE | {"x": CategoricalDistribution([0.0, 1.0])}, LOSS, "x has 0.0 to 1.0 there and 0.0, 1.0 here"),
        (
            SPACE | {"x": FloatDistribution(0.1, 1.0, log=True)},
            LOSS,
            "x has 0.0 to 1.0 there and 0.1 to 1.0 (log) here",
        ),
        (SPACE | {"kind": CategoricalDistribution(["a"])}, LOSS, "kind has a, b there and a here"),
        ({"z": SPACE["x"]}, LOSS, "no parameter is the same: there are x, kind there"),
        (
            SPACE,
            (Objective("loss", Direction.max),),
            "those of optim_metrics maximize",
        ),
        (SPACE, (Objective("other", Direction.min),), "it optimizes loss, and this search other"),
        (SPACE, (*LOSS, Objective("other", Direction.min)), "its directions are minimize, and those of"),
    ],
)
def test_a_study_that_does_not_agree_is_refused(
    url: str, space: dict[str, BaseDistribution], objectives: tuple[Objective, ...], complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_warm_start(url, SearchSpace.of(space), objectives)

    assert str(caught.value).startswith(f"warm_start={url} does not fit this search:")
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("nowhere", "warm_start=nowhere has no study: give the directory of an experiment"),
        ("sqlite:///nothing.db", "cannot be opened: there is no file nothing.db"),
        ("what://ever", "cannot be opened: "),
    ],
)
def test_where_there_is_no_study_that_is_told_and_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        read_warm_start(source, SearchSpace.of(SPACE), LOSS)

    assert complaint in str(caught.value)
    assert list(tmp_path.iterdir()) == []
