"""Searches whose trials hold cores and GPUs of a machine that is described."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

import hpo
from hpo.errors import ConfigError, DeviceError
from hpo.records import State
from hpo_launchers.local import _core
from hpo_launchers.local._packing import Gpu, Machine
from hpo_launchers.local._placing import Look
from tests.conftest import Cli

CORES = tuple(sorted(os.sched_getaffinity(0)))
QUIET = ("tensorboard=false", "verbose=silent", "experiment_dir=experiments")
DIFFERING = ("+task.num_gpus=1", "resources_per_trial.gpus=${task.num_gpus}")
GPUS = "hydra.launcher.devices.gpus={a:24000,b:24000}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class LosesItsGpu:
    """A driver whose only GPU falls out after so many looks."""

    def __init__(self, num_looks: int) -> None:
        self._left = num_looks

    def look(self) -> Look:
        self._left -= 1
        return Look(out={"0": "GPU is lost"} if self._left == 0 else {})


def _on_a_machine_that_loses_its_gpu(monkeypatch: pytest.MonkeyPatch, num_looks: int) -> None:
    found = Machine(CORES, 8000.0, (Gpu("0", 24_000.0),)), LosesItsGpu(num_looks), {}
    monkeypatch.setattr(_core, "find_machine", lambda *_, **__: found)


def test_trials_that_differ_in_their_needs_are_all_run_and_know_their_devices() -> None:
    search = ("task.num_gpus=choice(1,2)", "total_trials=8", "concurrent_trials=3", "hydra/sweeper/sampler=random")
    experiment = hpo.run("noop", [*QUIET, *DIFFERING, GPUS, *search])

    assert [trial.state for trial in experiment.trials] == [State.COMPLETE] * 8
    devices = {trial.params["task.num_gpus"]: set[str]() for trial in experiment.trials}
    for trial in experiment.trials:
        metadata = json.loads((trial.directory / "metadata.json").read_text())
        devices[trial.params["task.num_gpus"]].add(metadata["device"])
    # trained again by itself the best one has no devices of its own, and as many processes all the same
    command = yaml.safe_load((experiment.directory / "best_trial.yaml").read_text())["command"]
    assert "processes_per_trial=1" in command.split()
    assert devices[1] <= {"cuda:a", "cuda:b"}
    assert devices[2] == {"cuda:a,b"}


def test_a_choice_that_needs_more_than_there_is_is_an_error_before_anything_is_on_disk(folder: Path) -> None:
    search = ("task.num_gpus=choice(1,3)", "total_trials=8")
    with pytest.raises(ConfigError) as caught:
        hpo.run("noop", [*QUIET, *DIFFERING, GPUS, *search])

    assert str(caught.value) == "resources_per_trial.gpus=3: there are 2 GPUs\n(with task.num_gpus=3)"
    assert not (folder / "experiments").exists()


def test_a_configured_value_that_no_trial_has_may_need_what_is_not_there() -> None:
    search = ("task.num_gpus=choice(1,2)", "total_trials=2")
    given = ("+task.num_gpus=16", DIFFERING[1])
    experiment = hpo.run("noop", [*QUIET, *given, GPUS, *search])

    assert [trial.state for trial in experiment.trials] == [State.COMPLETE] * 2


def test_a_machine_that_is_too_small_is_told_with_its_key_and_what_there_is(folder: Path, cli: Cli) -> None:
    too_many = "resources_per_trial.cpus=5000"
    run = cli("+experiment=noop", *QUIET, too_many, "--multirun", launcher=None)

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"hpo: resources_per_trial.cpus=5000: there are {len(CORES)} cores\n"
    assert not (folder / "experiments").exists()


def test_a_search_that_loses_its_last_gpu_waits_and_goes_on_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budget = ("resources_per_trial.gpus=1", "experiment_id=x", "total_trials=6")
    _on_a_machine_that_loses_its_gpu(monkeypatch, 4)
    with pytest.raises(DeviceError) as caught:
        hpo.run("noop", [*QUIET, *budget])

    said = str(caught.value)
    assert said.startswith("resources_per_trial.gpus=1: there is no GPU (0 fell out).\nThe experiment waits")
    assert "python -m hpo.resume" in said
    interrupted = hpo.load("experiments/experiment_x")
    assert interrupted.state is State.WAITING
    assert State.FAIL not in {trial.state for trial in interrupted.trials}

    _on_a_machine_that_loses_its_gpu(monkeypatch, -1)
    experiment = hpo.run("noop", [*QUIET, *budget, "resume=true"])

    assert experiment.state is State.COMPLETE
    assert [trial.state for trial in experiment.trials] == [State.COMPLETE] * 6


def test_cores_of_its_own_are_the_threads_of_a_trial() -> None:
    experiment = hpo.run("noop", [*QUIET, "resources_per_trial.cpus=1", "total_trials=2"])

    assert {trial.config["threads_per_trial"] for trial in experiment.trials} == {1}


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
def test_trials_that_differ_in_their_cores_have_as_many_threads() -> None:
    cores = ("+task.num_cores=1", "resources_per_trial.cpus=${task.num_cores}", "task.num_cores=choice(1,2)")
    experiment = hpo.run("noop", [*QUIET, *cores, "total_trials=6", "hydra/sweeper/sampler=random"])

    threads = {trial.number: trial.config["threads_per_trial"] for trial in experiment.trials}
    assert threads == {trial.number: trial.params["task.num_cores"] for trial in experiment.trials}
    best = yaml.safe_load((experiment.directory / "best_trial.yaml").read_text())
    assert best["command"].strip().endswith(f"threads_per_trial={threads[best['number']]}")


def test_a_launcher_that_gives_no_places_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    given = ("hydra/launcher=in_process", "resources_per_trial.cpus=1", "total_trials=1")
    experiment = hpo.run("noop", [*QUIET, *given])

    said = "resources_per_trial: without effect here, it needs hydra/launcher=local"
    assert said in (experiment.directory / "mp.log").read_text()
    assert f"WARNING: {said}" in capfd.readouterr().out
