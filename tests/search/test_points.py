from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.errors import ConfigError, SearchSpaceError
from hpo.records import Value
from hpo.search.points import Bins, ablation, grid, num_points, planned_grid
from hpo.search.tree import Parameter, SearchSpace


def parameter(key: str, kind: BaseDistribution, branches: Mapping[Value, Any] | None = None) -> Parameter:
    return Parameter(key, key, kind, f"search_space: {key}", branches=branches or {})


MOMENTUM = parameter("momentum", FloatDistribution(0.0, 0.9))
OPTIMIZER = parameter("opt", CategoricalDistribution(["adam", "sgd"]), {"sgd": (MOMENTUM,)})
SIZE = parameter("size", CategoricalDistribution([1, 2, None]))
SPACE = SearchSpace((SIZE, OPTIMIZER))
CONFIGURED = {"size": 2, "opt": "adam"}


def defaults_of(options: Mapping[str, Value]) -> Callable[[str], Any]:
    configured = CONFIGURED | ({"momentum": 0.9} if options.get("opt") == "sgd" else {})
    return configured.get


@pytest.mark.parametrize(
    ("kind", "bins", "values"),
    [
        (CategoricalDistribution([None, "a"]), None, [None, "a"]),
        (IntDistribution(1, 5, step=2), None, [1, 3, 5]),
        (IntDistribution(1, 5, step=2), 2, [1, 3, 5]),
        (FloatDistribution(0.0, 0.75, step=0.25), None, [0.0, 0.25, 0.5, 0.75]),
        (FloatDistribution(0.0, 1.0), 3, [0.0, 0.5, 1.0]),
        (FloatDistribution(1e-4, 1e-2, log=True), 3, [1e-4, 1e-3, 1e-2]),
        (IntDistribution(1, 3), None, [1, 2, 3]),
        (IntDistribution(1, 100), 3, [1, 50, 100]),
        (IntDistribution(1, 2), 9, [1, 2]),
        (FloatDistribution(0.5, 0.5), 4, [0.5]),
    ],
    ids=str,
)
def test_a_range_has_the_values_of_its_step_or_as_many_as_the_bins_say(
    kind: BaseDistribution, bins: int | None, values: list[Value]
) -> None:
    space = SearchSpace((parameter("x", kind),))

    assert Bins(bins, space).values(space.parameters[0]) == values
    assert all(space.parameters[0].holds(value) for value in values)


def test_a_grid_holds_each_combination_once_and_only_what_an_option_opens() -> None:
    count, points = grid(SPACE, Bins({"momentum": 2}, SPACE))

    found = list(points)
    assert count == len(found) == 9
    assert found[:3] == [
        {"size": 1, "opt": "adam"},
        {"size": 1, "opt": "sgd", "momentum": 0.0},
        {"size": 1, "opt": "sgd", "momentum": 0.9},
    ]
    assert len({str(point) for point in found}) == 9


def test_a_grid_larger_than_the_budget_is_drawn_from_by_the_seed() -> None:
    bins = Bins(2, SPACE)
    whole = list(grid(SPACE, bins)[1])

    count, drawn = planned_grid(SPACE, bins, 4, seed=1)

    assert count == 9
    assert len({str(point) for point in drawn}) == 4
    assert all(point in whole for point in drawn)
    assert planned_grid(SPACE, bins, 4, seed=1)[1] == drawn
    assert planned_grid(SPACE, bins, 9, seed=1)[1] == whole


@pytest.mark.parametrize(
    ("bins", "complaint"),
    [
        (1, "grid_bins=1 must be a whole number of at least 2"),
        (True, "grid_bins=True must be"),
        ({"momentum": 2.5}, "grid_bins.momentum=2.5 must be"),
        ({"size": 3}, "size is no range of the search space; there are: momentum"),
        (None, "search_space: momentum\n  is a range (0.0 to 0.9), not a list of values: say with grid_bins"),
    ],
)
def test_what_makes_no_grid_is_an_error(bins: Any, complaint: str) -> None:
    with pytest.raises((ConfigError, SearchSpaceError)) as caught:
        list(grid(SPACE, Bins(bins, SPACE))[1])
    assert complaint in str(caught.value)


def test_an_ablation_changes_one_factor_at_a_time_around_the_configured_values() -> None:
    assert ablation(SPACE, Bins(2, SPACE), defaults_of, pairs=False) == [
        {"size": 2, "opt": "adam"},
        {"size": 1, "opt": "adam"},
        {"size": None, "opt": "adam"},
        {"size": 2, "opt": "sgd", "momentum": 0.9},
    ]


def test_an_ablation_tries_every_pair_on_request() -> None:
    alone = ablation(SPACE, Bins(2, SPACE), defaults_of, pairs=False)

    pairs = ablation(SPACE, Bins(2, SPACE), defaults_of, pairs=True)

    assert pairs[: len(alone)] == alone
    assert pairs[len(alone) :] == [
        {"size": 1, "opt": "sgd", "momentum": 0.9},
        {"size": None, "opt": "sgd", "momentum": 0.9},
    ]


def test_an_ablation_whose_configured_value_is_outside_is_an_error() -> None:
    with pytest.raises(SearchSpaceError, match="size=7 is outside the search space: 1, 2, null"):
        ablation(SPACE, Bins(2, SPACE), lambda _: {"size": 7, "opt": "adam"}.get, pairs=False)


def test_the_configurations_of_a_space_are_counted_where_no_range_is_endless() -> None:
    inner = Parameter("m", "m", FloatDistribution(0.0, 1.0, step=0.25), "m")
    outer = Parameter("o", "o", CategoricalDistribution(["a", "b"]), "o", branches={"a": (inner,)})
    whole = Parameter("n", "n", IntDistribution(1, 8), "n")
    endless = Parameter("x", "x", FloatDistribution(0.0, 1.0), "x")

    assert num_points(SearchSpace((outer, whole))) == (5 + 1) * 8
    assert num_points(SearchSpace((outer, whole, endless))) is None
    assert num_points(SearchSpace()) == 1
