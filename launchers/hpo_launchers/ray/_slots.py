"""The slots that there are: each with the trial that it runs, or idle, with what that trial had asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hpo.resources import Need
from hpo_launchers.ray._head import Head
from hpo_launchers.ray._remote import RemoteSlot, Trial


class Slots:
    """`open_actor` makes an actor for a need, and greets it."""

    def __init__(self, open_actor: Callable[[Need, bool], tuple[Any, Any]], head: Head) -> None:
        self._open_actor = open_actor
        self._head = head
        self._slots: list[RemoteSlot] = []

    def __iter__(self) -> Iterator[RemoteSlot]:
        """Those that there are now, whatever becomes of them meanwhile."""
        return iter(list(self._slots))

    def __contains__(self, slot: RemoteSlot) -> bool:
        return slot in self._slots

    @property
    def busy(self) -> list[tuple[RemoteSlot, Trial]]:
        """Those that have a trial, with it."""
        return [(slot, slot.trial) for slot in self._slots if slot.trial is not None]

    @property
    def asked(self) -> dict[Any, RemoteSlot]:
        """Those of which a call is under way, by the call, while there is a trial to be waited for."""
        return {slot.asked: slot for slot in self._slots if slot.asked is not None} if self.busy else {}

    def of(self, number: int) -> tuple[RemoteSlot, Trial] | None:
        """The slot of a trial."""
        return next(((slot, trial) for slot, trial in self.busy if trial.job.number == number), None)

    def place(self, trial: Trial, generation: int, *, wants_results: bool) -> bool:
        """Give a trial an idle slot of its kind, or a new one; whether that could be done."""
        kind = trial.need, generation
        idle = sorted(self._idle, key=lambda slot: not slot.is_ready)
        slot = next((slot for slot in idle if slot.kind == kind), None)
        if slot is None:
            # they hold what this one asks for
            for other in idle:
                self.drop(other)
            self._head.look()
            if self._head.is_away:
                return False
            actor, asked = self._open_actor(trial.need, wants_results)
            slot = RemoteSlot(actor, kind, asked=asked)
            self._slots.append(slot)
        slot.trial = trial
        return True

    def hand_over(self) -> None:
        """Let trials whose slots wait for resources begin in those that have become idle, the earliest first.

        Those would wait for ever for what an idle one holds; one of another kind is ended for them.
        """
        waiting = [(trial.job.number, slot) for slot, trial in self.busy if not slot.is_ready]
        waiting.sort(key=lambda each: each[0])
        for _, slot in waiting:
            idle = next((each for each in self._idle if each.is_ready and each.kind == slot.kind), None)
            if idle is not None:
                # the other one is there for the next trial, or gives up what it gets
                idle.trial, slot.trial = slot.trial, None
        if any(slot.trial is not None for _, slot in waiting):
            for each in self._idle:
                if each.is_ready:
                    self.drop(each)

    @property
    def _idle(self) -> list[RemoteSlot]:
        return [slot for slot in self._slots if slot.trial is None]

    def drop(self, slot: RemoteSlot) -> None:
        """End it, with what it runs."""
        self._slots.remove(slot)
        slot.trial = None
        slot.end()
