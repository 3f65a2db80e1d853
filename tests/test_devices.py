from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpo.devices import cuda_devices, num_processes, num_threads
from hpo.errors import ConfigError
from tests.conftest import Compose


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /dev with eleven GPUs, and what else NVIDIA's driver puts there."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in [f"nvidia{number}" for number in range(11)] + ["nvidiactl", "nvidia-uvm", "null"]:
        (tmp_path / name).touch()
    return tmp_path


def test_devices_are_those_of_the_machine_in_the_order_of_their_numbers(dev: Path) -> None:
    assert cuda_devices("auto", dev) == tuple(str(number) for number in range(11))


def test_the_environments_choice_is_respected_as_it_is_given(dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-1f2e,0")

    assert cuda_devices("cuda", dev) == ("3", "GPU-1f2e", "0")


@pytest.mark.parametrize("nothing", ["", "-1"])
def test_an_environment_that_hides_every_device_leaves_none(
    dev: Path, monkeypatch: pytest.MonkeyPatch, nothing: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)

    assert cuda_devices("auto", dev) == ()
    with pytest.raises(ConfigError, match="shows no CUDA device"):
        cuda_devices("cuda", dev)


def test_cpu_wants_no_device(dev: Path) -> None:
    assert cuda_devices("cpu", dev) == ()


def test_cuda_where_there_is_none_and_an_unknown_device_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    assert cuda_devices("auto", tmp_path) == ()
    with pytest.raises(ConfigError, match="device=cuda, but this machine shows no CUDA device"):
        cuda_devices("cuda", tmp_path)
    with pytest.raises(ConfigError, match="'gpu' is not known; allowed are auto, cpu and cuda"):
        cuda_devices("gpu", tmp_path)


@pytest.mark.parametrize(
    ("overrides", "num"),
    [
        (["+experiment=mnist"], 1),
        (["+experiment=mnist", "resources_per_trial.gpus=0.5"], 1),
        (["+experiment=mnist", "resources_per_trial.gpus=2"], 2),
        (["+experiment=mnist", "resources_per_trial.gpus=2", "processes_per_trial=1"], 1),
        (["+experiment=mnist", "processes_per_trial=3"], 3),
        # a task that is not ours may use its GPUs in one process
        (["+experiment=noop", "resources_per_trial.gpus=2"], 1),
        (["+experiment=noop", "processes_per_trial=2"], 2),
    ],
)
def test_our_training_loop_has_a_process_for_each_of_a_trials_gpus(
    compose_run: Compose, overrides: list[str], num: int
) -> None:
    assert num_processes(compose_run(*overrides)) == num


def test_threads_are_as_given_or_the_cores_of_a_trial_or_as_they_were_or_a_share(compose_run: Compose) -> None:
    share = compose_run("concurrent_trials=1")
    own = compose_run("concurrent_trials=1", "resources_per_trial.cpus=7")
    given = compose_run("threads_per_trial=3", "resources_per_trial.cpus=7")

    assert num_threads(share) == len(os.sched_getaffinity(0))
    assert num_threads(share, earlier=5) == 5
    assert num_threads(own, earlier=5) == 7
    assert num_threads(given) == 3
