"""Packing on machines that are described: never over, never idle while something fits, all free at the end."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.resources import Need
from hpo_launchers.jobs import Job
from hpo_launchers.local._line import MAX_OVERTAKEN, Line
from hpo_launchers.local._packing import UNKNOWN_MEMORY, Gpu, Machine, Placement, ResourcePool, Usage
from tests.launchers.local.machines import NEEDS, assert_never_over, fits, machines

TWO = Machine(cores=(0, 1, 2, 3), memory_mb=16_000.0, gpus=(Gpu("0", 24_000.0), Gpu("1", 24_000.0)))
ONE = replace(TWO, gpus=TWO.gpus[:1])


def of_gpus(share: str, memory_mb: float = 0.0) -> Need:
    return Need(gpus=Fraction(share), gpu_memory_mb=memory_mb)


@settings(max_examples=300, deadline=None)
@given(machines(), st.lists(NEEDS, max_size=25), st.data())
def test_a_search_is_never_over_and_never_idle_while_something_fits(
    machine: Machine, needs: list[Need], data: st.DataObject
) -> None:
    pool, line = ResourcePool(machine), Line()
    running: list[int] = []
    waiting = [(number, need) for number, need in enumerate(needs) if pool.fits_ever(need) is None]
    total = len(waiting)
    num_ended = 0
    while num_ended < total:
        for _ in range(data.draw(st.integers(0, len(waiting)), "submitted")):
            number, need = waiting.pop(0)
            line.add(Job(number, b""), need)
        while (found := line.next(pool, lambda job: True)) is not None:
            running.append(found[0].number)
        placed = list(pool.placed.values())
        assert_never_over(machine, placed)
        claims = [pool.claim(each.need) for each in line._waiting if each.num_overtaken >= MAX_OVERTAKEN]
        for _, need in line:
            # who says nothing of GPUs may take any memory, and keeps off those that somebody wants memory of
            keeps_off = need.takes_turns and any(claim.need.gpu_memory_mb for claim in claims[:1])
            held = [replace(claim, need=replace(claim.need, gpus=Fraction(1))) for claim in claims[:1]]
            assert not fits(machine, [*placed, *(held if keeps_off else claims[:1])], need)
        if running:
            index = data.draw(st.integers(0, len(running) - 1), "ends")
            pool.release(running.pop(index))
            num_ended += 1
    assert not pool.placed
    for need in needs:
        assert (pool.place(0, need) is not None) == (pool.fits_ever(need) is None)
        pool.release(0)


def test_what_an_overtaken_trial_would_leave_of_a_gpu_is_not_kept_from_others() -> None:
    pool, line = ResourcePool(Machine(cores=(0,), memory_mb=4000.0, gpus=(Gpu("0", 4000.0),))), Line()
    pool.place(100, Need(cpus=1))
    line.add(Job(0, b""), replace(of_gpus("3/4"), cpus=1))
    others = MAX_OVERTAKEN + 2
    for number in range(1, 1 + others):
        line.add(Job(number, b""), Need())
    line.add(Job(200, b""), of_gpus("1/4"))
    line.add(Job(201, b""), of_gpus("1/4"))

    started = []
    while (found := line.next(pool, lambda job: True)) is not None:
        started.append(found[0].number)

    assert started == [*range(1, 1 + others), 200]


@settings(max_examples=300, deadline=None)
@given(machines(), st.lists(NEEDS, max_size=25), st.booleans(), st.data())
def test_gpu_memory_is_never_promised_twice_whatever_is_used_of_it_in_fact(
    machine: Machine, needs: list[Need], is_told_by_trial: bool, data: st.DataObject
) -> None:
    pool = ResourcePool(machine)
    others_mb = dict.fromkeys(pool.gpus, 0.0)
    used_by: dict[str, dict[int, float]] = {name: {} for name in pool.gpus}
    for number, need in enumerate(needs):
        for gpu in machine.gpus:
            # trials use what they like of what they were promised; so do others, who can be told from trials that
            # the driver names, or where no trial is
            here = {key: each.need for key, each in pool.placed.items() if gpu.name in each.gpus}
            parts = {key: data.draw(st.sampled_from([0.0, 0.5, 1.0])) for key in here}
            used_by[gpu.name] = {key: parts[key] * each.gpu_memory_mb for key, each in here.items()}
            if not here or (is_told_by_trial and any(used_by[gpu.name])):
                promised_mb = sum(each.gpu_memory_mb for each in here.values())
                left_mb = int((gpu.memory_mb or 0.0) - promised_mb)
                others_mb[gpu.name] = float(data.draw(st.integers(0, left_mb)))
        told = {
            name: Usage(others_mb[name] + sum(by.values()), by if is_told_by_trial else {})
            for name, by in used_by.items()
        }
        pool.see(told)
        could = fits(machine, pool.placed.values(), need, others_mb)
        placement = pool.place(number, need)
        assert_never_over(machine, pool.placed.values(), others_mb)
        if placement is None and is_told_by_trial and all(any(by) or not by for by in used_by.values()):
            assert not could
        if pool.placed and data.draw(st.booleans(), "one ends"):
            pool.release(data.draw(st.sampled_from(sorted(pool.placed)), "who"))


@settings(max_examples=200, deadline=None)
@given(machines().filter(lambda machine: machine.gpus), st.lists(NEEDS, min_size=1, max_size=20), st.data())
def test_a_gpu_that_is_lost_takes_no_more_and_names_its_trials(
    machine: Machine, needs: list[Need], data: st.DataObject
) -> None:
    pool = ResourcePool(machine)
    for number, need in enumerate(needs[::2]):
        pool.place(number, need)
    name = data.draw(st.sampled_from(pool.gpus))
    there = {number for number, each in pool.placed.items() if name in each.gpus}

    assert set(pool.lost(name)) == there
    assert list(pool.lost(name)) == []
    for number in there:
        pool.release(number)
    rest = replace(machine, gpus=tuple(gpu for gpu in machine.gpus if gpu.name != name))
    assert_never_over(rest, pool.placed.values())
    for number, need in enumerate(needs, start=100):
        could = fits(rest, pool.placed.values(), need)
        placement = pool.place(number, need)
        assert (placement is not None) == could
        assert placement is None or name not in placement.gpus


@settings(max_examples=200, deadline=None)
@given(machines(), NEEDS, st.lists(NEEDS, min_size=1, max_size=3), st.data())
def test_no_trial_waits_for_ever_however_many_others_come(
    machine: Machine, big: Need, small: list[Need], data: st.DataObject
) -> None:
    pool, line = ResourcePool(machine), Line()
    small = [need for need in small if pool.fits_ever(need) is None]
    if not small or pool.fits_ever(big) is not None:
        return
    count = 0

    def fill() -> bool:
        """Whether the big one has started; small ones come as often as they find a place."""
        nonlocal count
        while True:
            found = line.next(pool, lambda job: True)
            if found is None:
                return False
            if found[0].number == -1:
                return True
            if len(pool.placed) > 12:
                return False
            count += 1
            line.add(Job(count, b""), small[count % len(small)])

    for need in small:
        count += 1
        line.add(Job(count, b""), need)
    fill()
    line.add(Job(-1, b""), big)
    for index in range(MAX_OVERTAKEN + 60):
        if fill():
            return
        # every trial ends some time, and any may end before
        numbers = sorted(pool.placed)
        pool.release(numbers[0] if index % 2 else data.draw(st.sampled_from(numbers)))
        count += 1
        line.add(Job(count, b""), small[count % len(small)])
    raise AssertionError("it never started")


def test_parts_of_a_gpu_add_up_to_a_whole_however_they_are_written() -> None:
    for share, count in (("0.1", 10), ("1/3", 3), ("0.25", 4)):
        pool = ResourcePool(ONE)
        for number in range(count):
            assert pool.place(number, of_gpus(share)) is not None
        assert pool.place(count, of_gpus(share)) is None


def test_trials_are_spread_over_the_gpus_before_they_share_one() -> None:
    pool = ResourcePool(TWO)
    places = [pool.place(number, of_gpus("0.25")) for number in range(4)]
    assert [place.gpus for place in places if place] == [("0",), ("1",), ("0",), ("1",)]


def test_trials_that_name_memory_alone_share_a_gpu_up_to_it() -> None:
    pool = ResourcePool(ONE)
    need = Need(gpu_memory_mb=10_000.0)
    assert pool.place(0, need) == Placement(need, (), ("0",))
    assert pool.place(1, need) is not None
    assert pool.place(2, need) is None


@pytest.mark.parametrize("by", [{0: 3000.0}, {}], ids=["told by trial", "told in one sum"])
def test_what_a_trial_uses_is_part_of_what_it_was_promised(by: dict[int, float]) -> None:
    pool = ResourcePool(ONE)
    pool.see({"0": Usage(2000.0)})  # of others
    assert pool.place(0, Need(gpu_memory_mb=10_000.0)) is not None
    pool.see({"0": Usage(5000.0, by)})
    # 24,000 - 2000 of others - 10,000 promised
    assert pool.place(1, Need(gpu_memory_mb=12_001.0)) is None
    assert pool.place(1, Need(gpu_memory_mb=12_000.0)) is not None


@pytest.mark.parametrize("by", [{0: 14_000.0}, {}], ids=["told by trial", "told in one sum"])
def test_a_trial_that_uses_more_than_it_was_promised_holds_that(by: dict[int, float]) -> None:
    pool = ResourcePool(ONE)
    pool.place(0, Need(gpu_memory_mb=10_000.0))
    pool.see({"0": Usage(14_000.0, by)})
    assert pool.place(1, Need(gpu_memory_mb=10_001.0)) is None
    assert pool.place(1, Need(gpu_memory_mb=10_000.0)) is not None


def test_a_trial_that_promised_nothing_hides_nobody_elses_promise() -> None:
    pool = ResourcePool(ONE)
    pool.place(0, of_gpus("0.25"))
    pool.place(1, of_gpus("0.25", 10_000.0))
    pool.see({"0": Usage(8000.0)})  # all of it may be the first one's
    assert pool.place(2, of_gpus("0.25", 6001.0)) is None
    assert pool.place(2, of_gpus("0.25", 6000.0)) is not None


def test_a_trial_that_names_nothing_takes_turns_and_leaves_alone_what_another_has_whole() -> None:
    pool = ResourcePool(TWO)
    assert pool.place(0, of_gpus("1")) is not None
    places = [pool.place(number, Need()) for number in (1, 2)]
    assert [place.gpus for place in places if place] == [("1",), ("1",)]
    assert pool.place(3, of_gpus("1")) is None


def test_no_process_sees_two_mig_instances() -> None:
    migs = (Gpu("MIG-a", 10_000.0, is_mig=True), Gpu("MIG-b", 10_000.0, is_mig=True))
    pool = ResourcePool(replace(TWO, gpus=migs))
    assert pool.fits_ever(of_gpus("2")) == "resources_per_trial.gpus=2: there are 0 GPUs besides 2 of MIG"
    assert [pool.place(number, of_gpus("1")) is not None for number in range(3)] == [True, True, False]


def test_a_gpu_that_one_trial_has_whole_is_nobody_elses_whatever_that_says_of_it() -> None:
    for need in (of_gpus("0.1"), Need(gpu_memory_mb=1.0), Need(), of_gpus("1")):
        pool = ResourcePool(ONE)
        assert pool.place(0, of_gpus("1")) is not None
        assert pool.place(1, need) is None


def test_what_a_trial_claims_is_left_to_it() -> None:
    pool = ResourcePool(TWO)
    pool.place(0, Need(2, Fraction(0), memory_mb=9000.0))
    pool.place(1, of_gpus("0.5"))
    claim = pool.claim(Need(3, Fraction(1), 0.0, 8000.0))
    # free are the cores 2 and 3, the GPU 1 that nobody is on, and 7000 MB
    assert (claim.cores, claim.gpus) == ((2, 3, 0), ("1",))
    for need in (Need(cpus=1), Need(memory_mb=1.0), of_gpus("1")):
        assert pool.place(9, need, claim) is None
        assert pool.place(9, need) is not None
        pool.release(9)
    beside = pool.place(9, of_gpus("0.5"), claim)
    assert beside is not None
    assert beside.gpus == ("0",)


def test_a_trial_that_only_wants_its_turn_claims_a_gpu_where_all_are_whole() -> None:
    pool = ResourcePool(TWO)
    for number in range(2):
        pool.place(number, of_gpus("1"))
    assert pool.claim(Need()).gpus == ("0",)
    pool.release(0)
    assert pool.claim(Need(cpus=4)).gpus == ()


def test_a_trial_of_several_gpus_claims_no_mig_instance() -> None:
    gpus = (Gpu("MIG-a", 10_000.0, is_mig=True), *TWO.gpus)
    pool = ResourcePool(replace(TWO, gpus=gpus))
    pool.place(0, of_gpus("1", 20_000.0))
    assert pool.claim(of_gpus("2")).gpus == ("1", "0")


@pytest.mark.parametrize(
    ("need", "problem"),
    [
        (Need(cpus=5), "resources_per_trial.cpus=5: there are 4 cores"),
        (Need(memory_mb=16_001.0), "resources_per_trial.memory_mb=16001: there are 16000 MB"),
        (of_gpus("3"), "resources_per_trial.gpus=3: there are 2 GPUs"),
        (
            Need(gpu_memory_mb=24_001.0),
            "resources_per_trial.gpu_memory_mb=24001: the GPUs have 0: 24000 MB, 1: 24000 MB",
        ),
        (Need(4, Fraction(2), 24_000.0, 16_000.0), None),
    ],
)
def test_what_fits_nowhere_is_told_with_what_there_is(need: Need, problem: str | None) -> None:
    assert ResourcePool(TWO).fits_ever(need) == problem


def test_what_fits_no_more_is_told_with_what_fell_out() -> None:
    pool = ResourcePool(TWO)
    pool.lost("1")
    assert pool.fits_ever(of_gpus("2")) == "resources_per_trial.gpus=2: there are 1 GPUs (1 fell out)"
    pool.lost("0")
    assert pool.fits_ever(of_gpus("0.5")) == "resources_per_trial.gpus=0.5: there is no GPU (1, 0 fell out)"


def test_memory_that_nobody_tells_is_said_to_need_the_extra() -> None:
    pool = ResourcePool(replace(TWO, gpus=(Gpu("0"),)))
    problem = pool.fits_ever(Need(gpu_memory_mb=1.0))
    assert problem == f"resources_per_trial.gpu_memory_mb=1: {UNKNOWN_MEMORY}"
    assert "pip install 'hpo[gpu]'" in UNKNOWN_MEMORY
    assert pool.place(0, of_gpus("0.5")) is not None
