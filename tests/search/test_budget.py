from __future__ import annotations

from typing import Any

import pytest

import hpo
from hpo.config import Direction
from hpo.objectives import Objective
from hpo.records import Ended, State
from hpo.search.budget import Budget, Limits, failure_of, of_the_user

LOSS = (Objective("loss", Direction.min),)


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def complete(budget: Budget, *values: float) -> None:
    for number, value in enumerate(values):
        budget.ended(Ended(number, State.COMPLETE, {"loss": value}), value)


def failure(error: str = "ValueError: 3", line: int = 7, number: int = 0) -> Ended:
    trace = f'Traceback (most recent call last):\n  File "a.py", line {line}, in f\n    g()\n{error}\n'
    return Ended(number, State.FAIL, reason=error, traceback=trace)


def test_nothing_ends_a_search_without_limits() -> None:
    budget = Budget(Limits(), LOSS)
    complete(budget, 1.0, 2.0, 3.0)
    for _ in range(30):
        budget.ended(failure(), None)

    assert (budget.over(), budget.overdue()) == (None, {})


def test_a_timeout_is_over_when_its_seconds_are() -> None:
    clock = Clock()
    budget = Budget(Limits(timeout_s=10), LOSS, clock)

    clock.now = 9.9
    assert budget.over() is None
    clock.now = 10.0
    assert budget.over() == "timeout_s=10 is over"


def test_a_trial_is_overdue_once_some_seconds_after_its_own_alarm() -> None:
    clock = Clock()
    budget = Budget(Limits(trial_timeout_s=5), LOSS, clock)
    budget.started(3)
    budget.started(4)
    budget.ended(Ended(4, State.COMPLETE), 1.0)

    clock.now = 5.0
    assert budget.overdue() == {}
    clock.now = 7.0
    assert budget.overdue() == {3: ("trial_timeout_s=5 is over", State.FAIL)}
    assert budget.overdue() == {}


@pytest.mark.parametrize(
    ("direction", "value"), [(Direction.min, 0.5), (Direction.max, 2.0), (Direction.min, 1.0)]
)
def test_a_target_is_reached_by_a_value_that_is_as_good(direction: Direction, value: float) -> None:
    budget = Budget(Limits(target_value=1.0), [Objective("loss", direction)])
    complete(budget, 1.5 if direction is Direction.min else 0.5)
    assert budget.over() is None

    complete(budget, value)

    assert str(budget.over()).startswith("trial 0 has reached target_value=1: loss is")


def test_a_trial_that_breaks_a_soft_constraint_reaches_no_target() -> None:
    budget = Budget(Limits(target_value=1.0), LOSS)

    budget.ended(Ended(0, State.COMPLETE, {"loss": 0.5}, is_feasible=False), None)

    assert budget.over() is None


def test_stale_trials_are_counted_from_the_last_improvement() -> None:
    budget = Budget(Limits(max_stale_trials=2), LOSS)

    complete(budget, 3.0, 4.0, 2.0, 2.0)
    assert budget.over() is None
    budget.ended(failure(), None)
    assert budget.over() is None, "a failure says nothing of the space"
    budget.ended(Ended(9, State.PRUNED_POOR_PERFORMANCE), None)

    assert budget.over() == "the last 2 trials have not improved on the best (max_stale_trials)"


def test_the_failure_rate_is_that_of_the_newest_trials() -> None:
    budget = Budget(Limits(max_failure_rate=0.5, failure_window=4), LOSS)
    for _ in range(3):
        budget.ended(failure(), None)
    assert budget.over() is None, "the window is not full"
    complete(budget, 1.0, 1.0, 1.0)
    for _ in range(2):
        budget.ended(failure(), None)
    assert budget.over() is None

    budget.ended(failure("KeyError: 'x'"), None)

    assert "3 of the last 4 trials failed, more than max_failure_rate=0.5" in str(budget.over())
    assert "KeyError: 'x'" in str(budget.over())


def test_first_trials_that_all_fail_in_one_way_end_the_search_with_the_error() -> None:
    budget = Budget(Limits(fail_fast_trials=3), LOSS)
    for number in range(3):
        assert budget.over() is None
        budget.ended(failure(f"ValueError: {number}", number=number), None)

    why = str(budget.over())
    assert why.startswith("the first 3 trials all failed in the same way")
    assert why.count("ValueError") == 1
    assert 'File "a.py", line 7, in f' in why


@pytest.mark.parametrize(
    "second",
    [
        failure("KeyError: 3"),
        failure(line=8),
        Ended(1, State.COMPLETE),
        Ended(1, State.FAIL, {"loss": float("nan")}, reason="loss is nan, which is not finite"),
        Ended(1, State.FAIL, reason="trial_timeout_s=5 is over"),
    ],
    ids=lambda event: str(event.reason),
)
def test_another_failure_or_another_end_does_not(second: Ended) -> None:
    budget = Budget(Limits(fail_fast_trials=3, trial_timeout_s=5), LOSS)
    for event in (failure(), second, failure(), failure(), failure()):
        budget.ended(event, None)

    assert budget.over() is None


def test_deaths_are_the_same_but_for_their_numbers() -> None:
    def death(**values: Any) -> str | None:
        return failure_of(Ended(0, State.FAIL, **values))

    assert death(reason="its process 12 died of signal 9") == death(reason="its process 345 died of signal 9")
    assert death(reason="its process died") != death(reason="no memory")


def test_a_trial_that_waits_has_not_ended() -> None:
    budget = Budget(Limits(fail_fast_trials=1, max_stale_trials=1), LOSS)

    budget.ended(Ended(0, State.WAITING), None)

    assert budget.over() is None


def test_trials_that_all_diverge_do_not_end_a_search_and_an_error_that_says_over_does() -> None:
    diverged = Ended(0, State.FAIL, {"train_loss": float("nan")}, reason="diverged: train_loss is nan")
    lasting, ending = (Budget(Limits(fail_fast_trials=3, trial_timeout_s=5), LOSS) for _ in range(2))
    for _ in range(3):
        lasting.ended(diverged, None)
        ending.ended(failure("ValueError: the game is over"), None)

    assert lasting.over() is None
    assert ending.over() is not None


def test_a_traceback_is_shown_from_the_code_of_the_user_on() -> None:
    lines = [
        "Traceback (most recent call last):\n",
        f'  File "{hpo.__path__[0]}/trial/attempt.py", line 1, in finish\n    ended = task()\n',
        '  File "/lib/site-packages/hydra/_internal/x.py", line 2, in _call\n',
        '  File "/home/me/hpo/mytasks.py", line 3, in run\n    1 / 0\n    ~~^~~\n',
        f'  File "{hpo.__path__[0]}/trial/handle.py", line 4, in report\n',
        "ZeroDivisionError: division by zero\n",
    ]

    assert of_the_user("".join(lines)) == "".join([lines[0], *lines[3:]])
    assert of_the_user("".join([*lines[:3], lines[-1]])) == "".join([*lines[:3], lines[-1]])


def test_a_trial_stalls_when_it_has_not_reported_for_too_long() -> None:
    clock = Clock()
    budget = Budget(Limits(stall_timeout_s=10, trial_timeout_s=30), LOSS, clock)
    budget.started(1)
    budget.started(2)
    assert overdue_until(9.0, budget, clock) == {}
    budget.heard(2)
    assert overdue_until(10.0, budget, clock) == {1: ("no report for stall_timeout_s=10", State.FAIL_RECOVERABLE)}
    assert overdue_until(18.0, budget, clock) == {}
    budget.heard(2)
    assert overdue_until(27.0, budget, clock) == {}
    budget.heard(2)
    assert overdue_until(32.0, budget, clock) == {2: ("trial_timeout_s=30 is over", State.FAIL)}
    assert budget.overdue() == {}


def test_the_time_in_which_the_scheduler_was_away_makes_no_trial_late() -> None:
    clock = Clock()
    budget = Budget(Limits(stall_timeout_s=10, trial_timeout_s=30), LOSS, clock)
    budget.started(1)
    assert overdue_until(4.0, budget, clock) == {}

    clock.now = 104.0

    assert budget.overdue() == {}
    assert overdue_until(109.0, budget, clock) == {}
    assert overdue_until(110.0, budget, clock) == {1: ("no report for stall_timeout_s=10", State.FAIL_RECOVERABLE)}


def overdue_until(end: float, budget: Budget, clock: Clock) -> dict[int, tuple[str, State]]:
    """All that is overdue on the way there, by a look every second."""
    found = budget.overdue()
    while clock.now < end:
        clock.now += 1.0
        found |= budget.overdue()
    return found
