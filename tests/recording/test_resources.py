from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from hpo.recording import resources
from hpo.recording.resources import ResourceUse


def torch_like(*, initialized: bool, utilization: Any = None) -> Any:
    """What `ResourceUse` sees of torch on a machine with a CUDA device."""
    cuda = SimpleNamespace(
        is_initialized=lambda: initialized, memory_reserved=lambda: 3 * 2**20, utilization=utilization
    )
    return SimpleNamespace(cuda=cuda)


def test_memory_grows_with_what_the_process_holds(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    use = ResourceUse()
    before = use.measure()
    assert list(before) == ["memory_mb"]
    held = b"x" * (64 * 2**20)
    assert 50 < use.measure()["memory_mb"] - before["memory_mb"] < 80
    del held


def test_where_there_is_no_proc_it_is_the_peak(monkeypatch, tmp_path):
    usual = ResourceUse().measure()["memory_mb"]
    monkeypatch.setattr(resources, "_STATM", tmp_path / "gone")
    assert 0.5 * usual < ResourceUse().measure()["memory_mb"] < 100_000


def test_a_cuda_device_that_is_not_in_use_is_not_touched(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch_like(initialized=False))
    assert list(ResourceUse().measure()) == ["memory_mb"]


def test_a_cuda_device_in_use_has_its_memory_and_utilization(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", torch_like(initialized=True, utilization=lambda: 87))
    use = ResourceUse().measure()
    assert (use["cuda_memory_mb"], use["cuda_utilization"]) == (3.0, 87.0)


def test_a_device_that_does_not_tell_its_utilization_is_asked_once(monkeypatch):
    asked = []

    def utilization() -> int:
        asked.append(1)
        raise ModuleNotFoundError("pynvml")

    monkeypatch.setitem(sys.modules, "torch", torch_like(initialized=True, utilization=utilization))
    use = ResourceUse()
    assert [list(use.measure()) for _ in range(3)] == [["memory_mb", "cuda_memory_mb"]] * 3
    assert len(asked) == 1


@pytest.mark.gpu
def test_torch_tells_the_memory_of_a_real_device():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    held = torch.zeros(8 * 2**20, device="cuda")
    assert ResourceUse().measure()["cuda_memory_mb"] >= 32
    del held
