"""What comes down the socket, in whatever order."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from hpo.records import Stop
from hpo.trial.channel import ChannelLink, FrameReader


@pytest.fixture
def ends() -> Iterator[tuple[FrameReader, ChannelLink]]:
    """The scheduler's end and the trial's."""
    upper, lower = socket.socketpair()
    with upper, lower:
        yield FrameReader(upper), ChannelLink(lower)


@pytest.mark.parametrize("why", list(Stop))
def test_a_trial_hears_why_it_is_to_stop_and_does_not_forget(
    ends: tuple[FrameReader, ChannelLink], why: Stop
) -> None:
    scheduler, trial = ends
    assert trial.stop_requested() is None

    scheduler.stop(why)

    assert [trial.stop_requested() for _ in range(3)] == [why] * 3


@pytest.mark.parametrize("first", [Stop.PRUNE, Stop.PAUSE])
@pytest.mark.parametrize("has_looked", [True, False])
def test_a_trial_that_was_told_to_stop_hears_that_it_must_leave_at_once(
    ends: tuple[FrameReader, ChannelLink], first: Stop, has_looked: bool
) -> None:
    scheduler, trial = ends
    scheduler.stop(first)
    if has_looked:
        assert trial.stop_requested() is first

    scheduler.stop(Stop.LEAVE)

    assert trial.stop_requested() is Stop.LEAVE


@pytest.mark.parametrize(("first", "second"), [(Stop.PRUNE, Stop.PAUSE), (Stop.PAUSE, Stop.PRUNE)])
def test_of_two_reasons_that_can_wait_the_first_one_holds(
    ends: tuple[FrameReader, ChannelLink], first: Stop, second: Stop
) -> None:
    scheduler, trial = ends
    scheduler.stop(first)
    scheduler.stop(second)

    assert [trial.stop_requested(), trial.stop_requested()] == [first, first]


@pytest.mark.parametrize("why", [None, *Stop])
def test_a_scheduler_that_is_gone_is_a_pause_unless_it_had_another_reason(
    ends: tuple[FrameReader, ChannelLink], why: Stop | None
) -> None:
    scheduler, trial = ends
    if why is not None:
        scheduler.stop(why)
    scheduler.close()

    assert [trial.stop_requested() for _ in range(3)] == [why or Stop.PAUSE] * 3
