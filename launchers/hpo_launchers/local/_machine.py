"""What trials may use of this machine: found out, or as `hydra.launcher.devices` describes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hpo.devices import CPU, cuda_devices
from hpo.errors import ConfigError
from hpo.resources import spelled
from hpo_launchers.local._nvml import Nvml, open_nvml
from hpo_launchers.local._packing import Gpu, Machine
from hpo_launchers.local._placing import Probe

_KEY = "hydra.launcher.devices"
_MB = 1 << 20
# of a container: cgroups of version 2, and 1
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def find_machine(
    device: str, described: DictConfig | None, *, uses_resources: bool
) -> tuple[Machine, Probe | None, dict[str, str]]:
    """What there is, who tells what is used of it, and what trials must know so that names mean the same to them.

    The driver is asked only when `uses_resources`. Raises ConfigError for a description that cannot be.
    """
    given: Any = OmegaConf.to_container(described) if described is not None else {}
    memory_mb = given.get("memory_mb")
    if memory_mb is not None and not memory_mb > 0:
        raise ConfigError(f"{_KEY}.memory_mb={spelled(memory_mb)} must be above 0, or null")
    cores = _cores(given.get("cores"))
    memory_mb = float(memory_mb or host_memory_mb())
    if given.get("gpus") is not None:
        gpus = _described_gpus(given["gpus"]) if device != CPU else ()
        return Machine(cores, memory_mb, gpus), None, {}
    names = cuda_devices(device)
    nvml = open_nvml() if names and uses_resources else None
    if nvml is None:
        return Machine(cores, memory_mb, tuple(Gpu(name) for name in names)), None, {}
    is_ours = "CUDA_VISIBLE_DEVICES" not in os.environ
    gpus = nvml.all_gpus() if is_ours else nvml.gpus(names)
    return Machine(cores, memory_mb, gpus), nvml, _order(is_ours, nvml)


def host_memory_mb() -> float:
    """The memory of this machine, or of the container that this process is in."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:
        try:
            sizes.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # there is none, or it is "max"
            continue
    return min(sizes) / _MB


def own_cores() -> tuple[int, ...]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _cores(given: Any) -> tuple[int, ...]:
    own = own_cores()
    if given is None:
        return own
    is_number = isinstance(given, int) and not isinstance(given, bool)
    named = own[:given] if is_number and given > 0 else tuple(given) if isinstance(given, list) else ()
    if not named or not set(named) <= set(own) or (is_number and given > len(own)) or len(set(named)) < len(named):
        raise ConfigError(
            f"{_KEY}.cores={given} must be a number of cores, or a list of their numbers, out of those that "
            f"this process may use: {', '.join(map(str, own))}"
        )
    return named


def _described_gpus(given: Any) -> tuple[Gpu, ...]:
    if not isinstance(given, dict):
        raise ConfigError(f"{_KEY}.gpus={given} must name each GPU with its memory in MB: {{GPU-1f2e: 24000}}")
    for name, memory_mb in given.items():
        if isinstance(memory_mb, bool) or not isinstance(memory_mb, int | float) or not memory_mb > 0:
            raise ConfigError(f"{_KEY}.gpus.{name}={memory_mb} must be its memory in MB, above 0")
    return tuple(Gpu(str(name), memory_mb, str(name).startswith("MIG-")) for name, memory_mb in given.items())


def _order(is_ours: bool, nvml: Nvml) -> dict[str, str]:
    """NVML counts GPUs by their bus; CUDA puts the fastest first unless it is told."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if is_ours and "CUDA_DEVICE_ORDER" not in os.environ else {}
