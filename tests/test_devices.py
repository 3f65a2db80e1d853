from __future__ import annotations

from pathlib import Path

import pytest

from hpo.devices import cuda_devices
from hpo.errors import ConfigError


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
