"""What NVIDIA's driver tells of its GPUs: how much memory there is, who uses it, and which one fell out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hpo.errors import ConfigError
from hpo_launchers.local._packing import Gpu
from hpo_launchers.local._placing import Look, Measured

_MB = 1 << 20
_MIG = "MIG-"
# errors of the driver that a device does not come back from without somebody's help
_OUT = ("GPU_IS_LOST", "RESET_REQUIRED", "IRQ_ISSUE")
# and of the device: double-bit ECC, row remapping, off the bus, uncontained ECC, no answer from its own processor;
# others, an illegal address for example, are of the program that ran
_FATAL_XIDS = frozenset((48, 62, 64, 79, 95, 119, 120))


def open_nvml(dev: Path = Path("/dev")) -> Nvml | None:
    """None where there is no NVIDIA driver, or nothing that speaks with it."""
    if not any(dev.glob("nvidia*")):
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return Nvml(pynvml)


class Nvml:
    """A probe of the devices that `gpus` or `all_gpus` has named; `nvml` is the module pynvml, initialized."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handles: dict[str, Any] = {}
        self._events: Any = None
        self._watched: dict[str, list[str]] = {}

    def all_gpus(self) -> tuple[Gpu, ...]:
        """Every GPU by its number; in place of one that is divided, its MIG instances by their UUIDs."""
        names = [name for index in range(self._nvml.nvmlDeviceGetCount()) for name in self._names_of(index)]
        return self.gpus(names)

    def gpus(self, names: Sequence[str]) -> tuple[Gpu, ...]:
        """The devices of these names, as CUDA_VISIBLE_DEVICES spells them. Raises ConfigError for others."""
        self._handles = {name: self._handle(name) for name in names}
        self._watch()
        return tuple(
            Gpu(name, self._total_mb(handle), self._is_mig(handle)) for name, handle in self._handles.items()
        )

    def look(self) -> Look:
        out = self._out_by_xid()
        measured: dict[str, Measured] = {}
        for name, handle in self._handles.items():
            try:
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                measured[name] = Measured(memory.used / _MB, self._used_by_process(handle))
            except self._nvml.NVMLError as error:
                if error.value in {getattr(self._nvml, f"NVML_ERROR_{each}") for each in _OUT}:
                    out[name] = str(error)
        for name in out:
            self._handles.pop(name, None)
        return Look(measured, out)

    def _names_of(self, index: int) -> Iterator[str]:
        handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
        instances = list(self._instances(handle))
        yield from (_text(self._nvml.nvmlDeviceGetUUID(each)) for each in instances)
        if not instances:
            yield str(index)

    def _instances(self, handle: Any) -> Iterator[Any]:
        try:
            if not self._nvml.nvmlDeviceGetMigMode(handle)[0]:
                return
            count = self._nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
        except self._nvml.NVMLError:
            return
        for index in range(count):
            try:
                yield self._nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            except self._nvml.NVMLError:  # that place is empty
                continue

    def _handle(self, name: str) -> Any:
        try:
            if name.isdigit():
                return self._nvml.nvmlDeviceGetHandleByIndex(int(name))
            return self._by_uuid(name)
        except self._nvml.NVMLError as error:
            raise ConfigError(
                f"CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')}: {name}: {error}"
            ) from error

    def _by_uuid(self, name: str) -> Any:
        """CUDA also takes the first digits, where they are enough."""
        for index in range(self._nvml.nvmlDeviceGetCount()):
            handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            for each in (handle, *self._instances(handle)):
                if _text(self._nvml.nvmlDeviceGetUUID(each)).startswith(name):
                    return each
        return self._nvml.nvmlDeviceGetHandleByUUID(name)

    def _total_mb(self, handle: Any) -> float | None:
        try:
            return float(self._nvml.nvmlDeviceGetMemoryInfo(handle).total / _MB)
        except self._nvml.NVMLError:
            return None

    def _is_mig(self, handle: Any) -> bool:
        try:
            return bool(self._nvml.nvmlDeviceIsMigDeviceHandle(handle))
        except self._nvml.NVMLError:
            return False

    def _used_by_process(self, handle: Any) -> dict[int, float]:
        try:
            processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except self._nvml.NVMLError:
            return {}
        return {each.pid: each.usedGpuMemory / _MB for each in processes if each.usedGpuMemory is not None}

    def _watch(self) -> None:
        """Hear of the driver's messages on errors (Xid), where the device tells them."""
        self._watched = {}
        try:
            self._events = self._nvml.nvmlEventSetCreate()
        except self._nvml.NVMLError:
            return
        for name, handle in self._handles.items():
            try:
                whole = handle
                if self._is_mig(handle):
                    whole = self._nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
                uuid = _text(self._nvml.nvmlDeviceGetUUID(whole))
                if uuid not in self._watched:
                    kind = self._nvml.nvmlEventTypeXidCriticalError
                    self._nvml.nvmlDeviceRegisterEvents(whole, kind, self._events)
                self._watched.setdefault(uuid, []).append(name)
            except self._nvml.NVMLError:
                continue

    def _out_by_xid(self) -> dict[str, str]:
        out: dict[str, str] = {}
        while self._watched:
            try:
                event = self._nvml.nvmlEventSetWait_v2(self._events, 0)
            except self._nvml.NVMLError:  # there is none
                break
            if event.eventData in _FATAL_XIDS:
                uuid = _text(self._nvml.nvmlDeviceGetUUID(event.device))
                out |= dict.fromkeys(self._watched.get(uuid, ()), f"Xid {event.eventData}")
        return out


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
