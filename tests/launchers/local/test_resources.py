"""Trials in processes of their own that hold cores, GPUs and memory of a machine that is described."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpo.errors import ConfigError
from hpo.records import BEFORE_ITS_START, Ended, Event, Obstacle, Report, State, Stop, TrialSpec
from hpo_launchers.local import _core
from hpo_launchers.local._packing import Gpu, Machine
from hpo_launchers.local._placing import Look, Measured
from tests.launchers import tasks
from tests.launchers.applications import opened_hpo, waited

CORES = tuple(sorted(os.sched_getaffinity(0)))
GPUS = "hydra.launcher.devices.gpus={GPU-1f2e:24000,GPU-77aa:24000}"
needs_two_cores = pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")


class Probe:
    """What a driver would tell."""

    def __init__(self) -> None:
        self.used: dict[str, Measured] = {}
        self.out: dict[str, str] = {}

    def look(self) -> Look:
        out, self.out = self.out, {}
        return Look(dict(self.used), out)


@contextmanager
def probed(monkeypatch: pytest.MonkeyPatch, *names: str) -> Iterator[Probe]:
    """A machine with GPUs of 24 GB of which a driver tells what is used."""
    probe = Probe()
    machine = Machine(CORES, 8000.0, tuple(Gpu(name, 24_000.0) for name in names))
    with monkeypatch.context() as patch:
        patch.setattr(_core, "find_machine", lambda *_, **__: (machine, probe, {}))
        patch.setattr("hpo_launchers.local._stream._LOOK_S", 0.01)
        yield probe


class Trials:
    """The trials of a launcher that say where they are, as they come and go."""

    def __init__(self, launcher: Any, overrides: tuple[str, ...]) -> None:
        self._launcher = launcher
        self._overrides = overrides
        self.where: dict[int, Mapping[str, float]] = {}
        self.ended: dict[int, Ended] = {}

    def submit(self, number: int, **params: Any) -> None:
        values = {f"task.{key}": value for key, value in params.items()}
        given = tuple(f"{key}={value}" for key, value in values.items())
        self._launcher.submit(TrialSpec(number, self._overrides, values, (*self._overrides, *given)))

    def wait_for(self, running: set[int]) -> None:
        """Until these are there, and no others."""
        while set(self.where) != running:
            arrived = waited(self._launcher, 60.0)
            assert arrived, f"{self.where} and no more"
            for event in arrived:
                self._hear(event)

    def end(self, number: int) -> None:
        self._launcher.stop(number, Stop.PAUSE)
        self.wait_for_end(number)

    def wait_for_end(self, number: int) -> Ended:
        while number not in self.ended:
            for event in waited(self._launcher, 60.0):
                self._hear(event)
        return self.ended[number]

    def gpus(self, number: int) -> list[str]:
        return [key.removeprefix("gpu ") for key in self.where[number] if key.startswith("gpu ")]

    def cores(self, number: int) -> list[int]:
        return [int(key.removeprefix("core ")) for key in self.where[number] if key.startswith("core ")]

    def _hear(self, event: Event) -> None:
        if isinstance(event, Report):
            self.where[event.number] = event.metrics
        elif isinstance(event, Ended):
            self.ended[event.number] = event
            self.where.pop(event.number, None)


@contextmanager
def running(folder: Path, *overrides: str) -> Iterator[Trials]:
    given = (f"experiment_dir={folder}", "experiment_id=x", "concurrent_trials=4", *overrides)
    with opened_hpo("local", tasks.say_where_and_wait, "+experiment=noop", *given) as launcher:
        mine = tuple(text for text in given if not text.startswith("hydra.launcher"))
        yield Trials(launcher, ("+experiment=noop", *mine))


@needs_two_cores
def test_each_trial_runs_on_cores_of_its_own(tmp_path: Path) -> None:
    with running(
        tmp_path, "resources_per_trial.cpus=1", f"hydra.launcher.devices.cores={list(CORES[:2])}"
    ) as trials:
        assert trials._launcher.capacity == 2
        for number in range(3):
            trials.submit(number)
        trials.wait_for({0, 1})
        assert (trials.cores(0), trials.cores(1)) == ([CORES[0]], [CORES[1]])
        trials.end(1)
        trials.wait_for({0, 2})
        assert trials.cores(2) == [CORES[1]]


def test_trials_share_a_gpu_by_parts_and_are_told_it_as_it_is_named(tmp_path: Path) -> None:
    with running(tmp_path, "resources_per_trial.gpus=0.5", GPUS, "concurrent_trials=8") as trials:
        assert trials._launcher.capacity == 4
        for number in range(5):
            trials.submit(number)
        trials.wait_for({0, 1, 2, 3})
        named = [trials.gpus(number) for number in range(4)]
        assert named == [["GPU-1f2e"], ["GPU-77aa"], ["GPU-1f2e"], ["GPU-77aa"]]
        trials.end(2)
        trials.wait_for({0, 1, 3, 4})
        assert trials.gpus(4) == ["GPU-1f2e"]


def test_a_trial_of_two_gpus_is_told_both(tmp_path: Path) -> None:
    with running(tmp_path, "resources_per_trial.gpus=2", GPUS) as trials:
        trials.submit(0)
        trials.wait_for({0})
        assert trials.gpus(0) == ["GPU-1f2e", "GPU-77aa"]


def test_a_trial_of_no_gpu_sees_none(tmp_path: Path) -> None:
    with running(tmp_path, "resources_per_trial.gpus=0", GPUS) as trials:
        trials.submit(0)
        trials.wait_for({0})
        assert trials.gpus(0) == []


def test_the_environments_names_of_gpus_are_passed_on_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-7f1c, 3")
    with running(tmp_path, "resources_per_trial.gpus=1") as trials:
        assert trials._launcher.capacity == 2
        for number in range(2):
            trials.submit(number)
        trials.wait_for({0, 1})
        assert [trials.gpus(0), trials.gpus(1)] == [["MIG-7f1c"], ["3"]]


def test_host_memory_is_reserved_once(tmp_path: Path) -> None:
    with running(tmp_path, "resources_per_trial.memory_mb=400", "hydra.launcher.devices.memory_mb=1000") as trials:
        assert trials._launcher.capacity == 2


def test_trials_that_differ_in_their_needs_find_their_places(tmp_path: Path) -> None:
    differing = ("+task.num_gpus=1", "resources_per_trial.gpus=${task.num_gpus}", GPUS)
    with running(tmp_path, *differing) as trials:
        assert trials._launcher.capacity == 4
        for number, num_gpus in enumerate([1, 2, 1, 0.5]):
            trials.submit(number, num_gpus=num_gpus)
        # the second one waits, and the third takes what it leaves
        trials.wait_for({0, 2})
        trials.end(0)
        trials.wait_for({2, 3})
        trials.end(2)
        trials.end(3)
        trials.wait_for({1})
        assert trials.gpus(1) == ["GPU-1f2e", "GPU-77aa"]


def test_a_trial_that_fits_nowhere_fails_with_what_there_is(tmp_path: Path) -> None:
    differing = ("+task.num_gpus=1", "resources_per_trial.gpus=${task.num_gpus}", GPUS)
    with running(tmp_path, *differing) as trials:
        for number, num_gpus in enumerate([3, 1.5]):
            trials.submit(number, num_gpus=num_gpus)
        ends = [trials.wait_for_end(number) for number in (0, 1)]
    assert [ended.state for ended in ends] == [State.FAIL, State.FAIL]
    assert ends[0].reason == "resources_per_trial.gpus=3: there are 2 GPUs"
    assert str(ends[1].reason).startswith("resources_per_trial.gpus=1.5 must be a whole number, or a part of one")


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["resources_per_trial.gpus=3", GPUS], r"resources_per_trial.gpus=3: there are 2 GPUs"),
        (["resources_per_trial.gpus=1", GPUS, "device=cpu"], r"resources_per_trial.gpus=1: there is no GPU"),
        (["resources_per_trial.cpus=100000"], rf"resources_per_trial.cpus=100000: there are {len(CORES)} cores"),
        (["resources_per_trial.memory_mb=1e9"], r"resources_per_trial.memory_mb=1000000000: there are \d+ MB"),
        (["hydra.launcher.devices.cores=100000"], r"devices.cores=100000 must be a number of cores, or a list"),
        (["hydra.launcher.devices.cores=[-1]"], r"devices.cores=\[-1\] must be a number of cores, or a list"),
        (["hydra.launcher.devices.memory_mb=0"], r"devices.memory_mb=0 must be above 0"),
        (["hydra.launcher.devices.gpus={a:-1}"], r"devices.gpus.a=-1 must be its memory in MB"),
    ],
)
def test_what_can_never_be_is_an_error_before_the_start(
    tmp_path: Path, overrides: list[str], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem), running(tmp_path, *overrides):
        pass


def test_gpu_memory_is_shared_by_what_is_free_in_fact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        probed(monkeypatch, "0") as probe,
        running(tmp_path, "resources_per_trial.gpu_memory_mb=6000") as trials,
    ):
        assert trials._launcher.capacity == 4
        probe.used["0"] = Measured(10_000.0)
        for number in range(3):
            trials.submit(number)
        trials.wait_for({0, 1})
        assert waited(trials._launcher, 0.1) == []
        # the first one has what it was promised, others have gone
        probe.used["0"] = Measured(7000.0, {trials._launcher._stream.pids[0]: 6000.0})
        trials.wait_for({0, 1, 2})


def test_trials_wait_for_the_memory_of_others_also_where_none_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        probed(monkeypatch, "0") as probe,
        running(tmp_path, "resources_per_trial.gpu_memory_mb=6000") as trials,
    ):
        probe.used["0"] = Measured(20_000.0)
        trials.submit(0)
        assert waited(trials._launcher, 0.1) == []
        probe.used["0"] = Measured(0.0)
        trials.wait_for({0})


def test_trials_of_a_gpu_that_falls_out_can_be_tried_again_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with probed(monkeypatch, "0", "1") as probe, running(tmp_path, "resources_per_trial.gpus=1") as trials:
        for number in range(2):
            trials.submit(number)
        trials.wait_for({0, 1})
        probe.out["0"] = "GPU is lost"
        ended = trials.wait_for_end(0)
        assert (ended.state, ended.reason) == (State.FAIL_RECOVERABLE, "GPU 0 fell out: GPU is lost")
        trials.submit(0)
        trials.end(1)
        trials.wait_for({0})
        assert trials.gpus(0) == ["1"]


def test_what_waits_for_the_last_gpu_that_falls_out_meets_an_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with probed(monkeypatch, "0") as probe, running(tmp_path, "resources_per_trial.gpus=1") as trials:
        for number in range(2):
            trials.submit(number)
        trials.wait_for({0})
        probe.out["0"] = "Xid 79"
        ended = trials.wait_for_end(1)
        assert (ended.state, ended.obstacle) == (State.WAITING, Obstacle.DEVICES)
        assert ended.reason == "resources_per_trial.gpus=1: there is no GPU (0 fell out)"
        assert trials.wait_for_end(0).state is State.FAIL_RECOVERABLE


def test_a_trial_that_is_stopped_while_it_waits_for_its_place_never_starts(tmp_path: Path) -> None:
    with running(tmp_path, "resources_per_trial.gpus=2", "concurrent_trials=1", GPUS) as trials:
        for number in range(2):
            trials.submit(number)
        trials.wait_for({0})
        trials._launcher.stop(1, Stop.LEAVE)
        ended = trials.wait_for_end(1)
        assert (ended.state, ended.reason) == (State.WAITING, BEFORE_ITS_START)


def test_what_is_constant_is_read_once_for_all_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo_launchers import jobs

    read: list[Any] = []
    need_of = jobs.need_of
    monkeypatch.setattr(jobs, "need_of", lambda config: read.append(config) or need_of(config))
    with running(tmp_path, "concurrent_trials=1") as trials:
        for number in range(3):
            trials.submit(number, x=number)
        trials.wait_for({0})
    assert len(read) == 1
