"""The scheduler's view of one slot: its actor, what it runs, and what it is to be told next."""

from __future__ import annotations

import math
import re
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray import exceptions

from hpo.records import State, Stop
from hpo.resources import Need
from hpo_launchers.jobs import Job
from hpo_launchers.ray._cluster import first_line
from hpo_launchers.ray._messages import Order, Start

_HINT = re.compile(r"\s*Some common causes.*", re.S)
_MAX_SAID = 300


@dataclass
class Trial:
    """A trial that waits for a slot or is in one."""

    job: Job
    need: Need
    # why its files cannot be sent, when they have been
    sent: Future[str | None]
    told: Stop | None = None
    is_given: bool = False
    killed_as: tuple[str, State] | None = None
    # when the slot itself is to end, where killing the trial does not
    kill_at: float = math.inf
    # when the slot itself is to end, where the trial does not leave a cluster without a head
    leave_by: float = math.inf


@dataclass(eq=False)
class RemoteSlot:
    """`kind` is what trials have in common that it may run; `asked` the call of the actor that is under way."""

    actor: Any
    kind: Any
    trial: Trial | None = None
    host: str | None = None
    asked: Any = None
    orders: list[Order] = field(default_factory=list)
    templates: set[int] = field(default_factory=set)

    @property
    def is_ready(self) -> bool:
        """Whether its process has answered."""
        return self.host is not None

    @property
    def name(self) -> str:
        return f"its Ray worker on {self.host}" if self.host else "its Ray worker"

    def turn(self, timeout_s: float) -> None:
        """Let it obey, and listen."""
        orders, self.orders = self.orders, []
        self.asked = self.actor.turn.remote(orders, timeout_s)

    def end(self) -> None:
        """By force, with all that it has started."""
        ray.kill(self.actor)


class Templates:
    """Those that trials share: each goes to a slot once."""

    def __init__(self) -> None:
        # by identity: they are kept, so that it is nobody else's
        self._kept: dict[int, bytes] = {}

    def start(self, slot: RemoteSlot, trial: Trial) -> Start:
        """The order by which the slot starts the trial."""
        template = trial.job.template
        name = id(self._kept.setdefault(id(template), template))
        data = template if name not in slot.templates else None
        slot.templates.add(name)
        trial.is_given = True
        return Start(replace(trial.job, template=b""), name, data, trial.told)


def answered(asked: dict[Any, RemoteSlot], timeout_s: float) -> list[RemoteSlot]:
    """The slots of which calls that are under way have come to an end; waits for the first one."""
    ready, _ = ray.wait(list(asked), num_returns=1, timeout=timeout_s, fetch_local=False)
    if ready:
        # and what else has come
        ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0, fetch_local=False)
    return [asked[each] for each in ready]


def is_of_the_code(error: BaseException) -> bool:
    """Whether a slot failed since its process cannot run hpo, as no other one could."""
    if isinstance(
        error, exceptions.RuntimeEnvSetupError | exceptions.RayTaskError | exceptions.ActorUnschedulableError
    ):
        return True
    return isinstance(error, exceptions.ActorDiedError) and "creation task" in str(error)


def spelled(error: BaseException) -> str:
    """Why an actor is gone, in one line."""
    if isinstance(error, exceptions.RayTaskError) and error.cause is not None:
        return f"{type(error.cause).__name__}: {first_line(error.cause)}"
    lines = [line.strip() for line in _HINT.sub("", str(error)).splitlines() if line.strip()]
    if isinstance(error, exceptions.RuntimeEnvSetupError):
        # a traceback of Ray's own, whose last line is the reason
        return f"hydra.launcher.runtime_env cannot be had there: {lines[-1][:_MAX_SAID]}"
    told = next((line for line in lines if line.startswith("The actor is dead")), lines[0] if lines else "")
    return told[:_MAX_SAID] or type(error).__name__
