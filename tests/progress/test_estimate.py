from __future__ import annotations

import pytest

from hpo.progress.estimate import seconds_left


def test_nothing_is_known_before_anything_is_done() -> None:
    assert seconds_left(10.0, 0, 20, [None, None], [None, None]) is None
    assert seconds_left(0.0, 0, 20, [], []) is None


def test_when_nothing_remains_it_is_over() -> None:
    assert seconds_left(10.0, 20, 0, [], []) == 0.0


@pytest.mark.parametrize(
    ("num_ended", "remaining", "gained", "left", "expected"),
    [
        (5, 5, [], [], 100.0),
        # two that are half done count as one
        (4, 6, [0.5, 0.5], [0.5, 0.5], 100.0),
        # the only trial, which an earlier attempt has brought half-way
        (0, 1, [0.25], [0.25], 100.0),
        # of those that do not say, half is left
        (5, 6, [None, None], [None, None], 100.0),
    ],
    ids=["ended", "running", "resumed", "silent"],
)
def test_what_is_left_goes_as_fast_as_what_was_done(
    num_ended: int, remaining: int, gained: list[float | None], left: list[float | None], expected: float
) -> None:
    assert seconds_left(100.0, num_ended, remaining, gained, left) == expected
