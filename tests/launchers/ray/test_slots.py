"""Which trial runs in which slot, by the scheduler's own books."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from hpo.resources import NOTHING, Need

pytest.importorskip("ray")

from hpo_launchers.jobs import Job
from hpo_launchers.ray._remote import RemoteSlot, Trial
from hpo_launchers.ray._slots import Slots


class ThereAllTheTime:
    """A cluster's head."""

    is_away = False

    def look(self) -> None:
        pass


@pytest.fixture
def slots() -> Slots:
    return Slots(lambda need, wants_results: (object(), object()), ThereAllTheTime())


def _trial(number: int, need: Need = NOTHING) -> Trial:
    return Trial(Job(number, b""), need, Future())


def _place(slots: Slots, *trials: Trial) -> list[RemoteSlot]:
    """The slots that they wait for or are in."""
    for trial in trials:
        slots.hand_over()
        assert slots.place(trial, 0, wants_results=False)
    return [_slot_of(slots, trial.job.number) for trial in trials]


def _slot_of(slots: Slots, number: int) -> RemoteSlot:
    found = slots.of(number)
    assert found is not None
    return found[0]


def test_the_earliest_trial_that_waits_begins_in_the_next_idle_slot(slots: Slots) -> None:
    first, *_ = _place(slots, *map(_trial, range(4)))
    first.host = "here"
    begun = []
    for number in range(4, 12):
        assert first.trial is not None
        begun.append(first.trial.job.number)
        # it has ended, and the search proposes another one
        first.trial = None
        _place(slots, _trial(number))
    assert begun == list(range(8))
    assert len(list(slots)) == 4


def test_a_slot_that_is_ready_is_taken_before_one_that_is_on_its_way(slots: Slots) -> None:
    first, second = _place(slots, _trial(0), _trial(1))
    second.host = "here"
    first.trial = second.trial = None
    assert _place(slots, _trial(2), _trial(3)) == [second, first]


def test_an_idle_slot_is_ended_for_a_trial_of_another_kind_that_waits(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Any] = []
    monkeypatch.setattr("ray.kill", ended.append)
    small, large = _place(slots, _trial(0), _trial(1, Need(cpus=2)))
    small.host = "here"
    small.trial = None
    slots.hand_over()
    assert ended == [small.actor]
    assert [*slots] == [large]
