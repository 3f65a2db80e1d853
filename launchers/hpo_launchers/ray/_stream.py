"""Trials in actors of Ray: gives them out, hears what they say, and learns from Ray which are lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from hpo.records import BEFORE_ITS_START, Ended, State, Stop, TrialSpec
from hpo.resources import Need
from hpo.search.stream import Hear, Stream
from hpo_launchers.jobs import Composer
from hpo_launchers.ray._cluster import Cluster
from hpo_launchers.ray._head import Head
from hpo_launchers.ray._messages import Answer, Greeting, Kill, Refused, Tell
from hpo_launchers.ray._remote import RemoteSlot, Templates, Trial, answered, is_of_the_code, spelled
from hpo_launchers.ray._storage import TrialStorage
from hpo_launchers.ray._transfers import Transfers
from hpo_launchers.worker.remote_stream import RemoteStream

# for which a slot listens to its trial before it answers: what it is told meanwhile waits as long
_TURN_S = 0.5
# for which a slot has time to kill a trial, before it is killed itself
_KILL_S = 10.0
# between two looks at files that are under way
_LOOK_S = 0.02
# slots in a row that died before they answered, until it is the cluster that has failed
_MAX_MUTE = 3


class RayStream(RemoteStream):
    """A hpo.search.stream.Stream, Placing and Distant; `open_actor` makes one for a need, and greets it."""

    def __init__(
        self,
        composer: Composer,
        cluster: Cluster,
        open_actor: Callable[[Need, bool], tuple[Any, Any]],
        nearby: Callable[[], Stream],
        *,
        capacity: int,
        stop_timeout_s: float,
        head_timeout_s: float,
        storage: TrialStorage | None = None,
    ) -> None:
        super().__init__(composer, nearby, capacity)
        self._cluster = cluster
        self._open_actor = open_actor
        self._stop_timeout_s = stop_timeout_s
        self._transfers = Transfers(storage)
        self._generation = 0
        self._line: list[Trial] = []
        self._slots: list[RemoteSlot] = []
        self._stopped: dict[int, Stop] = {}
        self._templates = Templates()
        self._num_mute = 0
        self._head = Head(cluster.head, head_timeout_s)

    def renew(self, *, wants_results: bool) -> None:
        """Ship this process's environment, path and resolvers as they are now, and the jobs' returns back."""
        self._wants_results = wants_results
        self._generation += 1

    def fetch(self, directory: Path) -> None:
        self._transfers.fetch(directory)

    def misfit(self, need: Need) -> str | None:
        return self._cluster.misfit(need)

    def submit(self, spec: TrialSpec) -> None:
        """Raises what Hydra raises for overrides that do not compose."""
        composed = self._composed(spec)
        if composed is None:
            return
        job, need = composed
        told = self._stopped.pop(job.number, None)
        self._line.append(Trial(job, need, self._transfers.send(job), told))
        self._give_out()

    def wait(self, hear: Hear, timeout_s: float | None = None) -> None:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._events:
            self._head.look_if_due()
            self._end_without_head()
            self._give_out()
            self._start_what_is_sent()
            self._listen()
            asked = {slot.asked: slot for slot in self._slots if slot.asked is not None}
            left_s = _TURN_S if deadline is None else min(_TURN_S, max(0.0, deadline - time.monotonic()))
            if asked:
                for slot in answered(asked, min(left_s, _LOOK_S) if self._transfers.are_under_way else left_s):
                    self._hear_slot(slot)
            elif self._transfers.are_under_way:
                self._transfers.wait(left_s)
            else:
                if self._line:  # which waits for the head
                    time.sleep(left_s)
                break
            self._end_the_deaf()
            for ended, result in self._transfers.arrived():
                self._tell(ended, result)
            if deadline is not None and time.monotonic() >= deadline:
                break
        self._hand_over(hear)

    def stop(self, number: int, why: Stop) -> None:
        waiting = next((trial for trial in self._line if trial.job.number == number), None)
        slot = self._slot_of(number)
        if waiting is not None:
            self._line.remove(waiting)
            self._tell(Ended(number, why.state, reason=BEFORE_ITS_START))
        elif slot is not None and not slot.is_ready:
            self._drop(slot)
            self._tell(Ended(number, why.state, reason=BEFORE_ITS_START))
        elif slot is not None and slot.trial is not None:
            slot.trial.told = why.after(slot.trial.told)
            slot.orders.append(Tell(why))
        else:
            self._stopped[number] = why.after(self._stopped.get(number))

    def kill(self, number: int, reason: str, state: State = State.FAIL) -> None:
        """Have the slot end its trial by force; one that does not is killed itself."""
        slot = self._slot_of(number)
        if slot is None or slot.trial is None or slot.trial.killed_as is not None:
            return
        if not slot.trial.is_given:
            self._drop(slot)
            self._tell(Ended(number, state, reason=reason))
            return
        slot.trial.killed_as = reason, state
        slot.trial.kill_at = time.monotonic() + _KILL_S
        slot.orders.append(Kill(reason, state))

    def close(self) -> None:
        """Ask what runs to terminate, end what does not, give up all slots, and leave the cluster."""
        self._line.clear()
        if ray.is_initialized():
            self._finish()
            for slot in list(self._slots):
                self._drop(slot)
        self._slots.clear()
        self._transfers.close(_KILL_S)
        self._cluster.close()

    def _finish(self) -> None:
        """Hear how what runs ends."""
        busy = {
            slot.actor.finish.remote(): slot for slot in self._slots if slot.is_ready and slot.trial is not None
        }
        left, deadline = list(busy), time.monotonic() + self._stop_timeout_s + _KILL_S
        while left and time.monotonic() < deadline:
            ready, left = ray.wait(left, num_returns=1, timeout=max(0.0, deadline - time.monotonic()))
            for answer in ready:
                slot = busy[answer]
                for asked in (slot.asked, answer):
                    if asked is not None and slot in self._slots:
                        slot.asked = asked
                        self._hear_slot(slot)

    def _slot_of(self, number: int) -> RemoteSlot | None:
        return next((slot for slot in self._busy() if slot.trial and slot.trial.job.number == number), None)

    def _busy(self) -> Iterator[RemoteSlot]:
        return (slot for slot in self._slots if slot.trial is not None)

    def _end_without_head(self) -> None:
        """Tell all trials when the cluster's head has been away for too long."""
        reason = self._head.loss()
        if reason is None:
            return
        trials = [*self._line, *(slot.trial for slot in self._slots if slot.trial is not None)]
        self._line.clear()
        for slot in list(self._slots):
            self._drop(slot)
        for trial in trials:
            self._wait_for_cluster(trial.job.number, reason)

    def _give_out(self) -> None:
        """Let what waits begin, in idle slots first, in new ones otherwise."""
        for trial in list(self._line):
            numbers = {slot.trial.job.number for slot in self._busy() if slot.trial is not None}
            if len(numbers) >= self.capacity:
                return
            # a second job of a trial waits until the first has left
            if trial.job.number not in numbers:
                if not self._place(trial):
                    return
                self._line.remove(trial)

    def _place(self, trial: Trial) -> bool:
        """Give it a slot; whether that could be done."""
        kind = trial.need, self._generation
        idle = [slot for slot in self._slots if slot.trial is None]
        slot = next((slot for slot in idle if slot.kind == kind), None)
        if slot is None:
            # they hold what this one asks for
            for other in idle:
                self._drop(other)
            self._head.look()
            if self._head.is_away:
                return False
            actor, asked = self._open_actor(trial.need, self._wants_results)
            slot = RemoteSlot(actor, kind, asked=asked)
            self._slots.append(slot)
        slot.trial = trial
        return True

    def _start_what_is_sent(self) -> None:
        for slot in list(self._busy()):
            trial = slot.trial
            if trial is None or trial.is_given or not slot.is_ready or not trial.sent.done():
                continue
            problem = trial.sent.result()
            if problem is None:
                slot.orders.append(self._templates.start(slot, trial))
            else:
                slot.trial = None
                self._wait_for_cluster(trial.job.number, problem)

    def _listen(self) -> None:
        """Let each slot with a trial go on, with what it is to be told."""
        for slot in self._busy():
            if slot.asked is None and slot.trial is not None and slot.trial.is_given:
                slot.turn(_TURN_S)

    def _hear_slot(self, slot: RemoteSlot) -> None:
        try:
            answer = ray.get(slot.asked)
        except RayError as error:
            self._lose(slot, error)
            return
        slot.asked = None
        if not slot.is_ready:
            self._greeted(slot, answer)
        else:
            self._take(slot, answer)

    def _greeted(self, slot: RemoteSlot, greeting: Greeting) -> None:
        self._num_mute = 0
        slot.host = greeting["host"]
        trial = slot.trial
        if greeting["problem"] is not None:
            self._drop(slot)
            if trial is not None:
                self._wait_for_cluster(
                    trial.job.number, f"a Ray worker cannot run trials of this search: {greeting['problem']}"
                )

    def _take(self, slot: RemoteSlot, answers: list[Answer]) -> None:
        for answer in answers:
            trial = slot.trial
            if trial is None:
                return
            if isinstance(answer, Refused):
                self._drop(slot)
                self._wait_for_cluster(trial.job.number, answer.reason)
            elif isinstance(answer.event, Ended):
                slot.trial = None
                slot.orders.clear()
                self._transfers.bring(trial.job, answer.event, answer.result)
            else:
                self._events.append(answer.event)

    def _lose(self, slot: RemoteSlot, error: RayError) -> None:
        """Its process or its node is gone."""
        trial = slot.trial
        self._drop(slot)
        if trial is None:
            return
        told = spelled(error)
        if slot.is_ready:
            reason, state = trial.killed_as or (f"{slot.name} died: {told}", State.FAIL_RECOVERABLE)
            self._transfers.bring(trial.job, Ended(trial.job.number, state, reason=reason))
            return
        self._num_mute += 1
        if is_of_the_code(error) or self._num_mute >= _MAX_MUTE:
            self._wait_for_cluster(trial.job.number, f"a Ray worker cannot run trials of this search: {told}")
        else:
            self._line.insert(0, trial)

    def _end_the_deaf(self) -> None:
        """End the slots that have not killed their trial."""
        now = time.monotonic()
        for slot in list(self._busy()):
            if slot.trial is not None and now > slot.trial.kill_at and slot.trial.killed_as is not None:
                reason, state = slot.trial.killed_as
                job = slot.trial.job
                self._drop(slot)
                self._transfers.bring(job, Ended(job.number, state, reason=reason))

    def _drop(self, slot: RemoteSlot) -> None:
        self._slots.remove(slot)
        slot.trial = None
        slot.end()
