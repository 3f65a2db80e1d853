"""Trials in actors of Ray: gives them out, hears what they say, and learns from Ray which are lost."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from hpo.records import BEFORE_ITS_START, Ended, Obstacle, State, Stop, TrialSpec
from hpo.resources import Need
from hpo.search.stream import Hear, Stream
from hpo_launchers.jobs import Composer
from hpo_launchers.ray._cluster import Cluster
from hpo_launchers.ray._head import Head
from hpo_launchers.ray._messages import Answer, Greeting, Kill, Refused, Tell
from hpo_launchers.ray._remote import RemoteSlot, Templates, Trial, answered, is_of_the_code, spelled
from hpo_launchers.ray._slots import Slots
from hpo_launchers.ray._storage import TrialStorage
from hpo_launchers.ray._transfers import Transfers
from hpo_launchers.worker.remote_stream import RemoteStream

log = logging.getLogger(__name__)

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
        self._stop_timeout_s = stop_timeout_s
        self._transfers = Transfers(storage)
        self._generation = 0
        self._line: list[Trial] = []
        self._stopped: dict[int, Stop] = {}
        self._templates = Templates()
        self._num_mute = 0
        self._head = Head(cluster.head, head_timeout_s)
        self._slots = Slots(open_actor, self._head)

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
            asked = self._slots.asked
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
        found = self._slots.of(number)
        if waiting is not None:
            self._line.remove(waiting)
            self._tell(Ended(number, why.state, reason=BEFORE_ITS_START))
        elif found is None:
            self._stopped[number] = why.after(self._stopped.get(number))
        elif not found[0].is_ready:
            self._slots.drop(found[0])
            self._tell(Ended(number, why.state, reason=BEFORE_ITS_START))
        else:
            slot, trial = found
            trial.told = why.after(trial.told)
            slot.orders.append(Tell(why))

    def kill(self, number: int, reason: str, state: State = State.FAIL) -> None:
        """Have the slot end its trial by force; one that does not is killed itself."""
        found = self._slots.of(number)
        if found is None or found[1].killed_as is not None:
            return
        slot, trial = found
        if not trial.is_given:
            self._slots.drop(slot)
            self._tell(Ended(number, state, reason=reason))
            return
        trial.killed_as = reason, state
        trial.kill_at = time.monotonic() + _KILL_S
        slot.orders.append(Kill(reason, state))

    def close(self) -> None:
        """Ask what runs to terminate, end what does not, give up all slots, and leave the cluster."""
        self._line.clear()
        if ray.is_initialized():
            self._finish()
            for slot in self._slots:
                self._slots.drop(slot)
        self._transfers.close(_KILL_S)
        self._cluster.close()

    def _finish(self) -> None:
        """Hear how what runs ends."""
        busy = {slot.actor.finish.remote(): slot for slot, _ in self._slots.busy if slot.is_ready}
        left, deadline = list(busy), time.monotonic() + self._stop_timeout_s + _KILL_S
        while left and time.monotonic() < deadline:
            ready, left = ray.wait(left, num_returns=1, timeout=max(0.0, deadline - time.monotonic()))
            for answer in ready:
                slot = busy[answer]
                for asked in (slot.asked, answer):
                    if asked is not None and slot in self._slots:
                        slot.asked = asked
                        self._hear_slot(slot)

    def _end_without_head(self) -> None:
        """When the cluster's head has been away for too long, have what runs leave, and tell all trials."""
        reason = self._head.loss()
        if reason is None:
            return
        now, trials = time.monotonic(), list(self._line)
        self._line.clear()
        for slot in self._slots:
            trial = slot.trial
            if trial is not None and trial.is_given and trial.leave_by == math.inf:
                # a slot hears without the head, which alone would end it
                trial.leave_by = now + self._stop_timeout_s
                slot.orders.append(Tell(Stop.LEAVE))
            elif trial is None or not trial.is_given or now >= trial.leave_by:
                trials += [trial] if trial is not None else []
                self._slots.drop(slot)
        for trial in trials:
            self._wait_for_cluster(trial.job.number, reason)

    def _give_out(self) -> None:
        """Let what waits begin, in idle slots first, in new ones otherwise."""
        self._slots.hand_over()
        for trial in list(self._line):
            numbers = {running.job.number for _, running in self._slots.busy}
            if len(numbers) >= self.capacity:
                return
            # a second job of a trial waits until the first has left
            if trial.job.number not in numbers:
                if not self._slots.place(trial, self._generation, wants_results=self._wants_results):
                    return
                self._line.remove(trial)

    def _start_what_is_sent(self) -> None:
        for slot, trial in self._slots.busy:
            if trial.is_given or not slot.is_ready or not trial.sent.done():
                continue
            problem = trial.sent.result()
            if problem is None:
                slot.orders.append(self._templates.start(slot, trial))
            else:
                slot.trial = None
                self._wait_for_cluster(trial.job.number, problem)

    def _listen(self) -> None:
        """Let each slot with a trial go on, with what it is to be told."""
        for slot, trial in self._slots.busy:
            if slot.asked is None and trial.is_given:
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
        if greeting.get("outlives") is not None:
            log.warning("trials on %s may outlive a scheduler that is killed: %s", slot.host, greeting["outlives"])
        trial = slot.trial
        if greeting["problem"] is not None:
            self._slots.drop(slot)
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
                self._slots.drop(slot)
                self._wait_for_cluster(trial.job.number, answer.reason)
            elif isinstance(answer.event, Ended):
                slot.trial = None
                slot.orders.clear()
                self._transfers.bring(trial.job, self._without_head(answer.event), answer.result)
            else:
                self._events.append(answer.event)

    def _without_head(self, ended: Ended) -> Ended:
        """The end of a trial, which has left where the cluster's head is lost."""
        reason = self._head.loss()
        if reason is None or ended.state is not State.WAITING:
            return ended
        return replace(ended, reason=reason, obstacle=ended.obstacle or Obstacle.CLUSTER)

    def _lose(self, slot: RemoteSlot, error: RayError) -> None:
        """Its process or its node is gone."""
        trial = slot.trial
        self._slots.drop(slot)
        if trial is None:
            return
        told, lost = spelled(error), self._head.loss()
        if lost is not None:
            self._wait_for_cluster(trial.job.number, lost)
            return
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
        for slot, trial in self._slots.busy:
            if now > trial.kill_at and trial.killed_as is not None:
                reason, state = trial.killed_as
                self._slots.drop(slot)
                self._transfers.bring(trial.job, Ended(trial.job.number, state, reason=reason))
