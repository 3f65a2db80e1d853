"""What a trial's process uses of the machine."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

_MIB = 2**20
_STATM = Path("/proc/self/statm")


class ResourceUse:
    """Measures memory, and the CUDA device when torch has begun to use one.

    `memory_mb` is the process's resident memory (its peak, where there is no /proc); `cuda_memory_mb` what
    torch holds of the device, `cuda_utilization` the percentage of time that the device was busy of late.
    """

    def __init__(self) -> None:
        self._page_mb = os.sysconf("SC_PAGE_SIZE") / _MIB
        self._has_utilization = True

    def measure(self) -> dict[str, float]:
        use = {"memory_mb": self._resident_mb()}
        # never the first to import torch, nor to start CUDA, which would take memory of the device
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            use["cuda_memory_mb"] = torch.cuda.memory_reserved() / _MIB
            use |= self._utilization(torch.cuda)
        return use

    def _resident_mb(self) -> float:
        try:
            return int(_STATM.read_bytes().split()[1]) * self._page_mb
        except OSError:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            # in bytes there, in KiB elsewhere
            return peak / (_MIB if sys.platform == "darwin" else 2**10)

    def _utilization(self, cuda: Any) -> dict[str, float]:
        if self._has_utilization:
            try:
                return {"cuda_utilization": float(cuda.utilization())}
            except Exception:
                # it takes nvidia-ml-py, and a device that tells: a part of one (MIG) does not
                self._has_utilization = False
        return {}
