"""What the driver's answers are taken for; the driver is played by a module with its names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynvml
import pytest

from hpo.errors import ConfigError
from hpo_launchers.local import _machine
from hpo_launchers.local._machine import find_machine
from hpo_launchers.local._nvml import Nvml, open_nvml
from hpo_launchers.local._packing import Gpu
from hpo_launchers.local._placing import Measured

MB = 1 << 20
NAMES = [name for name in dir(pynvml) if name.startswith("NVML_") or name == "nvmlEventTypeXidCriticalError"]


@dataclass
class Memory:
    total: int
    used: int


@dataclass
class Process:
    pid: int
    usedGpuMemory: int | None


@dataclass
class Device:
    uuid: str
    total: int = 24_000
    used: int = 0
    processes: list[Process] = field(default_factory=list)
    error: int | None = None
    migs: list[Device] = field(default_factory=list)
    is_mig: bool = False


@dataclass
class XidEvent:
    device: Device
    eventData: int


class Driver:
    """The part of pynvml that is asked."""

    NVMLError = pynvml.NVMLError

    def __init__(self, *devices: Device) -> None:
        self.devices = devices
        self.xids: list[XidEvent] = []
        self.registered: list[str] = []
        for name in NAMES:
            setattr(self, name, getattr(pynvml, name))

    def nvmlDeviceGetCount(self) -> int:
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:
        if index >= len(self.devices):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return self.devices[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Device:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetUUID(self, device: Device) -> str:
        return device.uuid

    def nvmlDeviceGetMigMode(self, device: Device) -> list[int]:
        if device.is_mig:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [int(bool(device.migs))] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Device) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Device, index: int) -> Device:
        if index >= len(device.migs):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return device.migs[index]

    def nvmlDeviceIsMigDeviceHandle(self, device: Device) -> int:
        return int(device.is_mig)

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, mig: Device) -> Device:
        return next(device for device in self.devices if mig in device.migs)

    def nvmlDeviceGetMemoryInfo(self, device: Device) -> Memory:
        if device.error is not None:
            raise pynvml.NVMLError(device.error)
        return Memory(device.total * MB, device.used * MB)

    def nvmlDeviceGetComputeRunningProcesses(self, device: Device) -> list[Process]:
        return device.processes

    def nvmlEventSetCreate(self) -> object:
        return object()

    def nvmlDeviceRegisterEvents(self, device: Device, kind: int, events: object) -> None:
        self.registered.append(device.uuid)

    def nvmlEventSetWait_v2(self, events: object, timeout_ms: int) -> XidEvent:
        if not self.xids:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
        return self.xids.pop(0)


def test_gpus_have_their_numbers_and_divided_ones_the_names_of_their_instances() -> None:
    migs = [Device(f"MIG-{letter}", 5000, is_mig=True) for letter in "ab"]
    driver = Driver(Device("GPU-1"), Device("GPU-2", migs=migs))

    assert Nvml(driver).all_gpus() == (Gpu("0", 24_000), Gpu("MIG-a", 5000, True), Gpu("MIG-b", 5000, True))
    assert driver.registered == ["GPU-1", "GPU-2"]


def test_names_are_kept_as_they_are_given() -> None:
    migs = [Device("MIG-a", 5000, is_mig=True)]
    driver = Driver(Device("GPU-1f2e"), Device("GPU-77aa", 16_000, migs=migs))

    gpus = Nvml(driver).gpus(["GPU-77", "0", "MIG-a"])
    assert gpus == (Gpu("GPU-77", 16_000), Gpu("0", 24_000), Gpu("MIG-a", 5000, True))


@pytest.mark.parametrize("name", ["7", "GPU-0000"])
def test_a_name_that_the_driver_does_not_know_is_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
    with pytest.raises(ConfigError, match=f"CUDA_VISIBLE_DEVICES={name}: {name}: "):
        Nvml(Driver(Device("GPU-1"))).gpus([name])


def test_memory_is_told_by_process_where_the_driver_tells_it() -> None:
    used_by = [Process(17, 900 * MB), Process(18, None)]
    nvml = Nvml(Driver(Device("GPU-1", used=1000, processes=used_by)))
    nvml.all_gpus()

    assert nvml.look().measured == {"0": Measured(1000.0, {17: 900.0})}


@pytest.mark.parametrize(
    ("error", "is_out"),
    [
        (pynvml.NVML_ERROR_GPU_IS_LOST, True),
        (pynvml.NVML_ERROR_RESET_REQUIRED, True),
        (pynvml.NVML_ERROR_NO_PERMISSION, False),
    ],
)
def test_a_device_is_out_by_an_error_that_it_does_not_come_back_from(error: int, is_out: bool) -> None:
    lost = Device("GPU-1", error=error)
    nvml = Nvml(Driver(lost, Device("GPU-2")))
    nvml.gpus(["0", "1"])
    look = nvml.look()

    assert set(look.out) == ({"0"} if is_out else set())
    assert set(look.measured) == {"1"}
    assert set(nvml.look().out) == set()


@pytest.mark.parametrize(("xid", "out"), [(79, {"MIG-a": "Xid 79", "MIG-b": "Xid 79"}), (31, {})])
def test_a_device_is_out_by_a_fatal_xid_with_all_its_instances(xid: int, out: dict[str, str]) -> None:
    migs = [Device(f"MIG-{letter}", 5000, is_mig=True) for letter in "ab"]
    divided = Device("GPU-2", migs=migs)
    driver = Driver(Device("GPU-1"), divided)
    nvml = Nvml(driver)
    nvml.all_gpus()
    driver.xids.append(XidEvent(divided, xid))

    assert nvml.look().out == out


def test_nobody_is_asked_where_there_is_no_driver(tmp_path: Path) -> None:
    assert open_nvml(tmp_path) is None


@pytest.mark.parametrize("given", [None, "1,0"])
def test_a_machine_is_its_driver_with_the_order_in_which_that_counts(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    driver = Driver(Device("GPU-1", 16_000), Device("GPU-2", 24_000))
    monkeypatch.setattr(_machine, "open_nvml", lambda: Nvml(driver))
    monkeypatch.setattr(_machine, "cuda_devices", lambda _: tuple((given or "0,1").split(",")))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    machine, probe, environment = find_machine("auto", None, uses_resources=True)

    expected = [Gpu("0", 16_000), Gpu("1", 24_000)]
    assert list(machine.gpus) == (expected if given is None else expected[::-1])
    assert isinstance(probe, Nvml)
    assert environment == ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if given is None else {})


def test_the_driver_is_left_alone_by_trials_that_need_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(_machine, "open_nvml", lambda: asked.append(1))
    monkeypatch.setattr(_machine, "cuda_devices", lambda _: ("0",))
    machine, probe, _ = find_machine("auto", None, uses_resources=False)

    assert (machine.gpus, probe, asked) == ((Gpu("0"),), None, [])
