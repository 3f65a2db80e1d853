"""What is cut out of a time axis."""

from __future__ import annotations

import pytest

from hpo.analysis.pauses import length, pauses, told

WEEK = 7 * 86400.0


def test_a_week_between_two_runs_is_drawn_as_a_small_part_of_the_time_in_which_trials_ran() -> None:
    started, ended = [0.0, 10.0, 60.0 + WEEK], [40.0, 60.0, 100.0 + WEEK]

    found = pauses(started, ended)

    assert found.cut(started) == pytest.approx([0, 10, 63])
    assert found.cut(ended) == pytest.approx([40, 60, 103])
    assert found.shown == [(pytest.approx(61.5), WEEK)]
    assert told(found.shown) == "1 pause of 7 d"


def test_several_pauses_are_told_together() -> None:
    found = pauses([0, 3600, 7200], [60, 3660, 7260])

    assert found.cut([7200]) == pytest.approx([60 + 5.4 + 60 + 5.4])
    assert told(found.shown) == "2 pauses of together 1.97 h"


def test_short_waits_between_trials_are_no_pause() -> None:
    found = pauses([0, 12, 24], [10, 22, 34])

    assert found.shown == []
    assert found.cut([0, 12, 34]).tolist() == [0, 12, 34]
    assert told(found.shown) == ""


def test_a_trial_that_runs_through_leaves_no_pause_and_trials_of_no_length_are_borne() -> None:
    assert pauses([0, 1, 900], [1000, 2, 950]).shown == []
    assert pauses([5], [5]).shown == []
    assert pauses([0, 0], [0, 0]).cut([0]).tolist() == [0]


def test_lengths_have_the_unit_that_fits() -> None:
    assert [length(each) for each in (9, 90, 5400, WEEK)] == ["9 s", "1.5 min", "1.5 h", "7 d"]
