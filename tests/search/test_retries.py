from __future__ import annotations

import pytest

from hpo.records import Ended, State, TrialSpec
from hpo.search.retries import Retries


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def died(number: int, reason: str = "its process died: exited with status 3") -> Ended:
    return Ended(number, State.FAIL_RECOVERABLE, reason=reason)


def test_a_trial_is_tried_again_so_often_and_after_growing_delays() -> None:
    clock = Clock()
    retries = Retries(3, 2.0, clock)
    spec = TrialSpec(4)

    for count, delay_s in ((1, 2.0), (2, 4.0), (3, 8.0)):
        assert retries.add(spec, died(4), num_ended=0) == delay_s
        assert (len(retries), retries.count(4)) == (1, count)
        assert retries.due(0, is_idle=True) is None
        clock.now += delay_s
        assert retries.due(0, is_idle=True) == spec
        assert len(retries) == 0
    assert retries.add(spec, died(4), num_ended=0) is None


@pytest.mark.parametrize(
    "reason",
    ["OutOfMemoryError: CUDA out of memory", "MemoryError", "its process died: killed by signal 9 (SIGKILL)"],
)
def test_one_that_found_no_memory_waits_until_another_has_freed_some_or_nothing_runs(reason: str) -> None:
    for num_ended, is_idle in ((6, False), (5, True)):
        retries = Retries(1, 0.0, Clock())
        retries.add(TrialSpec(4), died(4, reason), num_ended=5)
        assert retries.due(5, is_idle=False) is None
        assert retries.due(num_ended, is_idle=is_idle) == TrialSpec(4)


def test_without_retries_nothing_is_tried_again() -> None:
    assert Retries().add(TrialSpec(0), died(0), num_ended=0) is None
