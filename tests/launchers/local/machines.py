"""Machines that are described, needs, and an account of who holds what that shares no code with hpo's own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

from hypothesis import strategies as st

from hpo.resources import Need
from hpo_launchers.local._packing import Gpu, Machine, Placement

MB = st.sampled_from([4000.0, 8000.0, 12_000.0])
NEEDS = st.one_of(
    st.just(Need()),
    st.builds(
        Need,
        cpus=st.sampled_from([0, 0, 0, 1, 2, 5]),
        gpus=st.sampled_from([None, None, *map(Fraction, ("0", "1/10", "1/3", "1/2", "3/4", "1", "1", "2", "3"))]),
        gpu_memory_mb=st.one_of(st.just(0.0), st.sampled_from([1000.0, 3000.0, 4000.0, 9000.0])),
        memory_mb=st.one_of(st.just(0.0), st.sampled_from([1000.0, 3000.0, 4000.0, 9000.0])),
    ).filter(lambda need: need.gpus != 0 or not need.gpu_memory_mb),
)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    kinds = draw(st.lists(st.tuples(MB, st.booleans()), max_size=4))
    gpus = (Gpu(f"{'MIG-' if is_mig else 'GPU-'}{index}", mb, is_mig) for index, (mb, is_mig) in enumerate(kinds))
    return Machine(tuple(range(0, 2 * draw(st.integers(1, 6)), 2)), draw(MB), tuple(gpus))


def assert_never_over(
    machine: Machine, placed: Iterable[Placement], others_mb: Mapping[str, float] | None = None
) -> None:
    """No core twice, no more memory than there is, no GPU beyond its whole; what was asked for was given."""
    placed = list(placed)
    cores = [core for each in placed for core in each.cores]
    assert len(cores) == len(set(cores))
    assert set(cores) <= set(machine.cores)
    assert sum(each.need.memory_mb for each in placed) <= machine.memory_mb
    for gpu in machine.gpus:
        here = [each.need for each in placed if gpu.name in each.gpus]
        assert sum(min(need.gpus or 0, 1) for need in here) <= 1
        if any((need.gpus or 0) >= 1 for need in here):
            assert len(here) == 1
        free_mb = (gpu.memory_mb or 0.0) - (others_mb or {}).get(gpu.name, 0.0)
        assert sum(need.gpu_memory_mb for need in here) <= max(free_mb, 0.0)
    for each in placed:
        assert len(each.cores) == each.need.cpus
        assert len(set(each.gpus)) == len(each.gpus)
        if not takes_turns(each.need):
            assert len(each.gpus) == num_gpus(each.need)
        if len(each.gpus) > 1:
            assert not any(name.startswith("MIG-") for name in each.gpus)


def fits(
    machine: Machine, placed: Iterable[Placement], need: Need, others_mb: Mapping[str, float] | None = None
) -> bool:
    """Whether one more trial could run."""
    placed = list(placed)
    num_free = len(machine.cores) - len({core for each in placed for core in each.cores})
    free_mb = machine.memory_mb - sum(each.need.memory_mb for each in placed)
    if need.cpus > num_free or (need.memory_mb and need.memory_mb > free_mb):
        return False
    able = 0
    for gpu in machine.gpus:
        here = [each.need for each in placed if gpu.name in each.gpus]
        share = sum(min(other.gpus or 0, 1) for other in here)
        used_mb = sum(other.gpu_memory_mb for other in here) + (others_mb or {}).get(gpu.name, 0.0)
        is_alone = (need.gpus or 0) >= 1
        able += (
            not any((other.gpus or 0) >= 1 for other in here)
            and not (is_alone and here)
            and share + min(need.gpus or 0, 1) <= 1
            and (not need.gpu_memory_mb or need.gpu_memory_mb + used_mb <= (gpu.memory_mb or 0.0))
            and not (num_gpus(need) > 1 and gpu.is_mig)
        )
    return able > 0 or not machine.gpus if takes_turns(need) else able >= num_gpus(need)


def takes_turns(need: Need) -> bool:
    return need.gpus is None and not need.gpu_memory_mb


def num_gpus(need: Need) -> int:
    return math.ceil(need.gpus) if need.gpus is not None else int(need.gpu_memory_mb > 0)
