"""Which trial runs where: a described machine, what trials hold of it, and where the next one fits.

Nothing here looks at the machine itself: it is described, and what is used of its GPUs in fact is told (`see`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

from hpo.resources import KEY, Need, spelled

UNKNOWN_MEMORY = "how much memory the GPUs have is told by NVIDIA's driver alone: pip install 'hpo[gpu]'"


# the number of a trial that waits, and is the only one to do so with a claim
_CLAIMANT = -1


@dataclass(frozen=True)
class Gpu:
    """One device, as CUDA_VISIBLE_DEVICES spells it: a GPU, or a MIG instance of one.

    `memory_mb` is None where nobody knows it.
    """

    name: str
    memory_mb: float | None = None
    # a process sees one of them at most
    is_mig: bool = False


@dataclass(frozen=True)
class Machine:
    """What trials may use."""

    cores: tuple[int, ...]
    memory_mb: float
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True)
class Usage:
    """What is used of a GPU's memory in fact, by anybody, and by those trials that it can be told of."""

    used_mb: float
    used_by: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Placement:
    """What one trial holds: cores by their numbers, GPUs by their names."""

    need: Need
    cores: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()


@dataclass
class _Device:
    gpu: Gpu
    holders: dict[int, Need] = field(default_factory=dict)
    usage: Usage = field(default_factory=lambda: Usage(0.0))
    # of others than our trials, where it cannot be told whose memory is whose
    others_mb: float = 0.0

    @property
    def share(self) -> Fraction:
        return sum((need.share for need in self.holders.values()), Fraction(0))

    @property
    def is_whole(self) -> bool:
        """Whether one trial has it for itself."""
        return any(need.wants_whole_gpus for need in self.holders.values())

    @property
    def is_open(self) -> bool:
        """Whether trials take turns here that say nothing of GPUs: not where one waits for memory, of which they
        may take any."""
        claimant = self.holders.get(_CLAIMANT)
        return not self.is_whole and not (claimant is not None and claimant.gpu_memory_mb)

    def see(self, usage: Usage) -> None:
        self.usage = usage
        self.others_mb = min(self.others_mb, usage.used_mb) if self.holders else usage.used_mb

    def held_mb(self, tells_trials_apart: bool) -> float:
        """Never less than what is used, nor than what was promised, and no byte twice.

        Where memory is told by trial, each holds what it needs, or what it uses when that is more. Otherwise the
        sum of what trials need stands against all that is used; a trial that promised nothing could hide there, so
        that with one of those they count beside each other.
        """
        promised = sum(need.gpu_memory_mb for need in self.holders.values())
        used = self.usage.used_mb
        if tells_trials_apart:
            by = {number: self.usage.used_by.get(number, 0.0) for number in self.holders}
            held = sum(max(need.gpu_memory_mb, by[number]) for number, need in self.holders.items())
            return max(0.0, used - sum(by.values())) + held
        if all(need.gpu_memory_mb for need in self.holders.values()):
            return max(self.others_mb + promised, used)
        return used + promised

    def takes(self, need: Need, tells_trials_apart: bool) -> bool:
        """Whether a trial fits here now."""
        if self.is_whole or (need.wants_whole_gpus and self.holders) or self.share + need.share > 1:
            return False
        if not need.gpu_memory_mb:
            return True
        total = self.gpu.memory_mb
        return total is not None and need.gpu_memory_mb <= total - self.held_mb(tells_trials_apart)

    def could_take(self, need: Need) -> bool:
        """Whether a trial fits here when nobody else is."""
        if need.num_gpus > 1 and self.gpu.is_mig:
            return False
        return not need.gpu_memory_mb or (self.gpu.memory_mb or 0.0) >= need.gpu_memory_mb


class ResourcePool:
    """What is free of a machine. A trial is known by its number, and holds what it was given until `release`."""

    def __init__(self, machine: Machine) -> None:
        self._cores = machine.cores
        self._memory_mb = machine.memory_mb
        self._devices = {gpu.name: _Device(gpu) for gpu in machine.gpus}
        self._lost: list[str] = []
        self._placed: dict[int, Placement] = {}
        self._tells_trials_apart = False

    @property
    def gpus(self) -> tuple[str, ...]:
        """Those that are left."""
        return tuple(self._devices)

    @property
    def placed(self) -> Mapping[int, Placement]:
        """What each trial holds."""
        return self._placed

    def fits_ever(self, need: Need) -> str | None:
        """Why a trial fits nowhere on this machine, whatever ends; None when it does."""
        gone = f" ({', '.join(self._lost)} fell out)" if self._lost else ""
        if need.cpus > len(self._cores):
            return f"{KEY}.cpus={need.cpus}: there are {len(self._cores)} cores"
        if need.memory_mb > self._memory_mb:
            return f"{KEY}.memory_mb={spelled(need.memory_mb)}: there are {spelled(int(self._memory_mb))} MB"
        if need.num_gpus and not self._devices:
            key = f"gpu_memory_mb={spelled(need.gpu_memory_mb)}" if need.gpus is None else _of_gpus(need)
            return f"{KEY}.{key}: there is no GPU{gone}"
        if need.gpu_memory_mb and any(one.gpu.memory_mb is None for one in self._devices.values()):
            return f"{KEY}.gpu_memory_mb={spelled(need.gpu_memory_mb)}: {UNKNOWN_MEMORY}"
        whole = [one for one in self._devices.values() if need.num_gpus == 1 or not one.gpu.is_mig]
        if need.num_gpus > len(whole):
            of_mig = (
                "" if len(whole) == len(self._devices) else f" besides {len(self._devices) - len(whole)} of MIG"
            )
            return f"{KEY}.{_of_gpus(need)}: there are {len(whole)} GPUs{of_mig}{gone}"
        if need.num_gpus > sum(one.could_take(need) for one in whole):
            sizes = ", ".join(f"{one.gpu.name}: {spelled(int(one.gpu.memory_mb or 0))} MB" for one in whole)
            return f"{KEY}.gpu_memory_mb={spelled(need.gpu_memory_mb)}: the GPUs have {sizes}{gone}"
        return None

    def place(self, number: int, need: Need, besides: Placement | None = None) -> Placement | None:
        """Give a trial what it needs, where that is free; `besides` is what it must leave to another one."""
        cores = self._free_cores(besides)
        memory_mb = self._memory_mb - sum(each.need.memory_mb for each in self._placed.values())
        if besides is not None:
            memory_mb -= besides.need.memory_mb
        with self._claimed(besides):
            gpus = self._free_gpus(need)
        if need.cpus > len(cores) or (need.memory_mb and need.memory_mb > memory_mb) or gpus is None:
            return None
        placement = Placement(need, tuple(cores[: need.cpus]), gpus)
        self._placed[number] = placement
        for name in gpus:
            self._devices[name].holders[number] = need
        return placement

    def release(self, number: int) -> None:
        """A trial is gone, or has not come to be."""
        placement = self._placed.pop(number, None)
        for name in placement.gpus if placement is not None else ():
            if name in self._devices:
                del self._devices[name].holders[number]

    def claim(self, need: Need) -> Placement:
        """What a trial that fits nowhere now waits for: what is nearest to being free, and fits when it is."""
        able = [device for device in self._devices.values() if device.could_take(need)]
        able.sort(key=lambda device: len(device.holders))
        waits_for_its_turn = need.takes_turns and self._next_in_turn() is None
        num_gpus = 1 if waits_for_its_turn else need.num_gpus
        free = self._free_cores(None)
        cores = [*free, *(core for core in self._cores if core not in free)][: need.cpus]
        return Placement(need, tuple(cores), tuple(device.gpu.name for device in able[:num_gpus]))

    def see(self, usage: Mapping[str, Usage]) -> None:
        """Know what is used of the GPUs in fact."""
        for name, device in self._devices.items():
            if name in usage:
                device.see(usage[name])
                self._tells_trials_apart |= any(number in device.holders for number in usage[name].used_by)

    def lost(self, name: str) -> Sequence[int]:
        """A GPU fell out: nothing is placed there any more; the trials that were."""
        device = self._devices.pop(name, None)
        if device is None:
            return ()
        self._lost.append(name)
        return tuple(device.holders)

    def _free_cores(self, besides: Placement | None) -> list[int]:
        held = {core for each in self._placed.values() for core in each.cores}
        held.update(besides.cores if besides is not None else ())
        return [core for core in self._cores if core not in held]

    @contextmanager
    def _claimed(self, claim: Placement | None) -> Iterator[None]:
        """In the block a trial that waits holds what it claims, so that others get what it would leave them."""
        devices = [self._devices[name] for name in claim.gpus] if claim is not None else []
        for device in devices:
            assert claim is not None
            device.holders[_CLAIMANT] = claim.need
        try:
            yield
        finally:
            for device in devices:
                del device.holders[_CLAIMANT]

    def _free_gpus(self, need: Need) -> tuple[str, ...] | None:
        """The GPUs that a trial gets: those with the fewest others; None where there are not enough."""
        if need.takes_turns:
            return self._next_in_turn()
        devices = list(self._devices.values())
        if need.num_gpus > 1:
            devices = [device for device in devices if not device.gpu.is_mig]
        fit = [device for device in devices if device.takes(need, self._tells_trials_apart)]
        if len(fit) < need.num_gpus:
            return None
        fit.sort(key=lambda device: (device.share, len(device.holders)))
        return tuple(device.gpu.name for device in fit[: need.num_gpus])

    def _next_in_turn(self) -> tuple[str, ...] | None:
        if not self._devices:
            return ()
        open_to_all = [one for one in self._devices.values() if one.is_open]
        if not open_to_all:
            return None
        return (min(open_to_all, key=lambda device: len(device.holders)).gpu.name,)


def _of_gpus(need: Need) -> str:
    assert need.gpus is not None
    return f"gpus={spelled(need.gpus)}"
