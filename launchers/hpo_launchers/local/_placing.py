"""Gives trials their places on the machine, and keeps an eye on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hpo.resources import Need
from hpo_launchers.jobs import Job
from hpo_launchers.local._line import Line
from hpo_launchers.local._packing import Machine, ResourcePool, Usage
from hpo_launchers.local._place import Place


@dataclass(frozen=True)
class Measured:
    """Memory of a device that is in use, by whom as far as that is known: process -> MB."""

    used_mb: float
    by_process: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """`measured` by device, and the devices that fell out since the last look, with the reason."""

    measured: Mapping[str, Measured] = field(default_factory=dict)
    out: Mapping[str, str] = field(default_factory=dict)


class Probe(Protocol):
    """Who knows what is used of the devices in fact."""

    def look(self) -> Look:
        """Takes a moment, and waits for nothing."""


class Placing:
    """The trials that wait and those that have a place.

    `names_gpus`: every trial is told its GPUs, and sees no other; `environment` is what it must know besides.
    """

    def __init__(
        self,
        machine: Machine,
        probe: Probe | None = None,
        *,
        names_gpus: bool,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._whole = ResourcePool(machine)
        self._pool = ResourcePool(machine)
        self._probe = probe
        self._names_gpus = names_gpus
        self._environment = dict(environment or {})
        self._line = Line()
        self._has_lost = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._line)

    @property
    def must_look(self) -> bool:
        """Whether what others use of the GPUs decides what happens next, or a GPU may fall out under a trial."""
        has_gpus = any(each.gpus for each in self._pool.placed.values())
        return self._probe is not None and (has_gpus or len(self._line) > 0)

    def problem(self, need: Need) -> str | None:
        """Why nobody who needs that will ever have a place here; None when somebody may."""
        return self._whole.fits_ever(need)

    def add(self, job: Job, need: Need) -> None:
        """Let a job wait for its place."""
        self._line.add(job, need)

    def next(self, is_ready: Callable[[Job], bool]) -> tuple[Job, Place] | None:
        """The next job that is ready and has a place now."""
        found = self._line.next(self._pool, is_ready)
        if found is None:
            return None
        job, placement = found
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(placement.gpus)} if self._names_gpus else {}
        return job, Place(self._environment | visible, placement.cores)

    def release(self, number: int) -> None:
        self._pool.release(number)

    def withdraw(self, number: int) -> bool:
        """Let no longer wait the job of that number; whether there was one."""
        jobs = [job for job, _ in self._line if job.number == number]
        for job in jobs:
            self._line.remove(job)
        return bool(jobs)

    def clear(self) -> None:
        """Nobody waits any more."""
        self._line.clear()

    def look(self, pids: Mapping[int, int]) -> Mapping[int, str]:
        """See what is used; the trials whose GPU fell out, with the reason. `pids` are trials by their process."""
        if self._probe is None:
            return {}
        look = self._probe.look()
        self._pool.see({name: _usage(measured, pids) for name, measured in look.measured.items()})
        fallen: dict[int, str] = {}
        for name, why in look.out.items():
            self._has_lost = True
            fallen |= dict.fromkeys(self._pool.lost(name), f"GPU {name} fell out: {why}")
        return fallen

    def stranded(self) -> Iterator[tuple[Job, str]]:
        """The jobs that wait for what has fallen out and wait no longer, with the reason."""
        if self._has_lost:
            for job, need in list(self._line):
                problem = self._pool.fits_ever(need)
                if problem is not None:
                    self._line.remove(job)
                    yield job, problem


def most_at_once(machine: Machine, need: Need, limit: int) -> int:
    """How many trials of the same need run at the same time, at most `limit`."""
    pool = ResourcePool(machine)
    return sum(pool.place(number, need) is not None for number in range(limit))


def _usage(measured: Measured, pids: Mapping[int, int]) -> Usage:
    """A trial's memory is that of its process and of those that it started, which are of its session."""
    by: dict[int, float] = {}
    for pid, used_mb in measured.by_process.items():
        try:
            number = pids.get(os.getsid(pid))
        except OSError:  # gone, or of another container
            continue
        if number is not None:
            by[number] = by.get(number, 0.0) + used_mb
    return Usage(measured.used_mb, by)
