"""The statistics without pandas: history, slots, Pareto front, trend, effects, differences of configurations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hpo.analysis.differences import ABSENT, Difference, differences
from hpo.analysis.effects import NO_SPREAD, TOO_FEW, effect, holm
from hpo.analysis.history import best_so_far
from hpo.analysis.pareto import on_front
from hpo.analysis.timeline import busy_share, occupancy, slots
from hpo.analysis.trend import Trend, fit, is_skewed

NAN, INF = math.nan, math.inf


def test_the_best_so_far_passes_over_what_is_not_finite() -> None:
    values = [NAN, 3.0, INF, 2.0, -INF, 5.0, 1.0]

    assert best_so_far(values, is_min=True).tolist()[1:] == [3.0, 3.0, 2.0, 2.0, 2.0, 1.0]
    assert best_so_far(values, is_min=False).tolist()[1:] == [3.0, 3.0, 3.0, 3.0, 5.0, 5.0]
    assert math.isnan(best_so_far(values, is_min=True)[0])
    assert best_so_far([], is_min=True).tolist() == []


def test_a_trial_takes_the_lowest_slot_that_is_free() -> None:
    started, ended = [0, 0, 5, 6, 7], [5, 10, 6, 9, 8]

    assert slots(started, ended).tolist() == [0, 1, 0, 0, 2]
    assert busy_share([0, 0], [10, 5], 2) == 0.75
    assert math.isnan(busy_share([], [], 0))
    times, running = occupancy([0, 0, 5], [5, 10, 6])
    assert (times.tolist(), running.tolist()) == ([0, 5, 6, 10], [2, 2, 1, 0])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=40))
@settings(max_examples=50, deadline=None)
def test_no_slot_has_two_trials_at_once_and_there_are_as_many_as_ran(spans: list[tuple[int, int]]) -> None:
    started = [begin for begin, _ in spans]
    ended = [begin + length for begin, length in spans]
    chosen = slots(started, ended)

    for slot in set(chosen.tolist()):
        own = sorted((started[i], ended[i]) for i in np.flatnonzero(chosen == slot))
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(own))
    if any(length for _, length in spans):
        assert len(set(chosen.tolist())) >= occupancy(started, ended)[1].max()


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), max_size=30), st.tuples(*[st.booleans()] * 3))
@settings(max_examples=80, deadline=None)
def test_the_front_is_what_no_other_dominates(rows: list[list[int]], are_min: tuple[bool, ...]) -> None:
    costs = np.array(rows, dtype=float).reshape(-1, 3) * np.where(are_min, 1, -1)
    expected = [not any((other <= cost).all() and (other < cost).any() for other in costs) for cost in costs]

    assert on_front(np.array(rows, dtype=float).reshape(-1, 3), are_min).tolist() == expected


def test_a_row_that_is_not_finite_is_not_on_the_front() -> None:
    assert on_front([[1, NAN], [INF, 0], [2, 2]], [True, True]).tolist() == [False, False, True]


def test_a_trend_finds_the_valley_that_is_planted_on_a_logarithmic_axis() -> None:
    rng = np.random.default_rng(0)
    x = 10 ** rng.uniform(-5, -1, 200)
    y = (np.log10(x) + 3) ** 2 + rng.normal(0, 0.1, 200)
    trend = fit(x, y, is_log=True)

    assert isinstance(trend, Trend)
    assert 3e-4 < trend.x[trend.y.argmin()] < 3e-3
    assert ((trend.low <= trend.y) & (trend.y <= trend.high)).all()
    assert np.interp(-3, np.log10(trend.x), trend.y) == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ([], [], "no trial has both"),
        ([1, 1, 1, 1, 1], [1, 2, 3, 4, 5], "the same in all"),
        ([1, 2], [1, 2], "too few"),
        ([NAN] * 9, [1] * 9, "no trial has both"),
    ],
)
def test_where_there_is_no_trend_it_says_why(x: list[float], y: list[float], said: str) -> None:
    assert said in str(fit(x, y))


def test_a_metric_of_very_different_sizes_is_fitted_and_shown_on_a_logarithmic_axis() -> None:
    assert is_skewed([0.01, 5.0])
    assert not is_skewed([-1.0, 500.0])
    assert not is_skewed([1.0, 2.0, NAN])
    trend = fit(range(1, 20), [10.0**i for i in range(1, 20)], is_log_metric=True)
    assert isinstance(trend, Trend)
    assert trend.y[-1] == pytest.approx(1e19, rel=0.01)


def test_a_trend_of_few_trials_ends_a_little_beyond_their_values() -> None:
    # resampled cubics through eight points go anywhere
    x, y = np.array([0, 0.01, 0.02, 0.03, 0.5, 0.97, 0.98, 1]), np.array([1, 2, 1, 2, 1, 2, 1, 2.0])
    trend, of_log = fit(x, y), fit(x, 10**y, is_log_metric=True)

    assert isinstance(trend, Trend)
    assert isinstance(of_log, Trend)
    assert (min(trend.low) >= 0.75, max(trend.high) <= 2.25) == (True, True)
    assert (min(of_log.low) * 1.001 >= 10**0.75, max(of_log.high) <= 10**2.2501) == (True, True)


def test_an_effect_is_hedges_g_with_the_p_value_of_welch() -> None:
    ours, theirs = [1.0, 2.0, 3.0, 4.0], [4.0, 6.0, 8.0]
    found = effect(ours, theirs)

    assert found.difference == -3.5
    pooled = math.sqrt((3 * np.var(ours, ddof=1) + 2 * np.var(theirs, ddof=1)) / 5)
    assert found.g == pytest.approx(-3.5 / pooled * (1 - 3 / 19))
    assert found.low < found.g < found.high
    assert found.p == pytest.approx(stats.ttest_ind(ours, theirs, equal_var=False).pvalue)


def test_of_one_value_or_of_equal_ones_there_is_a_difference_and_no_more() -> None:
    assert effect([1.0], [2.0, 3.0]).difference == -1.5
    assert math.isnan(effect([1.0], [2.0, 3.0]).p)
    assert math.isnan(effect([1.0, 1.0], [2.0, 2.0]).g)
    assert math.isnan(effect([], [1.0]).difference)
    assert effect([1.0], [2.0, 3.0]).problem == effect([], [1.0]).problem == TOO_FEW
    assert effect([1.0, 1.0], [2.0, 2.0]).problem == NO_SPREAD
    assert effect([1.0, 2.0], [2.0, 4.0]).problem == ""


def test_the_interval_covers_the_planted_effect_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        found = effect(rng.normal(0.5, 1, 25), rng.normal(0, 1, 30))
        covered += found.low <= 0.5 <= found.high

    assert 0.92 <= covered / 400 <= 0.98


def test_p_values_are_corrected_for_their_number_and_keep_their_order() -> None:
    assert holm([0.01, 0.04, 0.03, NAN]) == pytest.approx([0.03, 0.06, 0.06, NAN], nan_ok=True)
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_trial_differs_in_its_parameters_and_in_what_its_options_open() -> None:
    default = {"model": {"width": 8, "kind": "a"}, "flag": 1, "total_trials": 5, "list": [1]}
    config = {"model": {"width": 16, "kind": "a", "depth": 2}, "flag": True, "total_trials": 9, "list": [1]}

    assert differences(default, config) == [
        Difference("model.width", 8, 16),
        Difference("flag", 1, True),
        Difference("model.depth", ABSENT, 2),
    ]
