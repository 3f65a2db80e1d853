"""Imports torch and torchmetrics without what training leaves unused: 130 MiB of an experiment's memory, and 2 s.

What it reaches into is private. Where that is not as expected, everything stays as the packages have it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

_DYNAMO = "torch._dynamo"
_OPTIMIZERS = "torch.optim"
_SCIPY_SIGNAL = "scipy.signal"
# torch._dynamo.config.optimize_ddp as it is until somebody imports that and changes it
_DDP_MODE = "ddp_optimizer"

_left_alone: list[bool] = []
_is_done: list[bool] = []


def import_torch(name: str = "torch") -> ModuleType:
    """torch, with one thread, and optimizers and data-parallel models that do without its compiler."""
    torch = importlib.import_module(name)
    # before any operation: a child of a server that had used several threads would hang
    torch.set_num_threads(1)
    _do_without_dynamo()
    return torch


def spare_dynamo() -> None:
    """Spare what trains in this process a second at its first step, where it has torch and is ours."""
    if _OPTIMIZERS in sys.modules and not _is_done and not _left_alone:
        _do_without_dynamo()


@contextlib.contextmanager
def leaving_torch_alone() -> Iterator[None]:
    """In the block `spare_dynamo` does nothing: the process is somebody else's, and so is its torch."""
    _left_alone.append(True)
    try:
        yield
    finally:
        _left_alone.pop()


def import_torchmetrics(name: str = "torchmetrics") -> ModuleType:
    """torchmetrics, which imports scipy.signal where it is installed only to add a name to it that SRMRpy uses."""
    if _SCIPY_SIGNAL in sys.modules:
        return importlib.import_module(name)
    stand_in = ModuleType(_SCIPY_SIGNAL)
    # the name that is imported from it; a ModuleType declares none
    stand_in.hamming = None  # type: ignore[attr-defined]
    sys.modules[_SCIPY_SIGNAL] = stand_in
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules[_SCIPY_SIGNAL]


def _do_without_dynamo() -> None:
    _is_done.append(True)
    for let in (_let_optimizers_do_without_dynamo, _let_ddp_do_without_dynamo):
        with contextlib.suppress(ImportError, AttributeError):
            let()


def _let_optimizers_do_without_dynamo() -> None:
    """Let no optimizer import torch._dynamo for itself.

    They do so at their first step, to tell the compiler what not to compile. As long as nothing else has imported
    it, nothing is compiled. A torch.compile imports it, and from then on all is as torch has it.
    """
    disabling = importlib.import_module("torch._compile")._disable_dynamo
    stepping = importlib.import_module("torch.optim.optimizer")._use_grad_for_differentiable
    rewrap = {_code(disabling(_nothing)): _plain, _code(stepping(_nothing)): _with_gradients_as_configured}
    optimizer_class = importlib.import_module("torch.optim").Optimizer
    for cls in (optimizer_class, *_subclasses(optimizer_class)):
        for name, method in list(vars(cls).items()):
            wrapper = rewrap.get(getattr(method, "__code__", _code(_nothing)))
            if wrapper is not None:
                setattr(cls, name, _unless_compiling(method, wrapper(method.__wrapped__)))


def _let_ddp_do_without_dynamo() -> None:
    """Let DistributedDataParallel ask torch._dynamo for its mode, and for what not to compile, once that is there.

    It does so when it is made and at its first forward pass, in every process of a trial that has several.
    """
    cls = importlib.import_module("torch.nn.parallel").DistributedDataParallel
    forward = cls._inside_ddp_forward
    disabling = importlib.import_module("torch._compile")._disable_dynamo
    if _code(forward.__wrapped__) is _code(disabling(_nothing)):
        plain_forward = contextlib.contextmanager(forward.__wrapped__.__wrapped__)
        cls._inside_ddp_forward = _unless_compiling(forward, plain_forward)
        cls.__init__ = _unless_compiling(cls.__init__, _with_ddp_mode(cls.__init__))


def _with_ddp_mode(init: Callable[..., None]) -> Callable[..., None]:
    """`init` with a stand-in for torch._dynamo that knows the mode."""

    def call(*args: Any, **kwargs: Any) -> None:
        torch: Any = sys.modules["torch"]
        stand_in = SimpleNamespace(utils=SimpleNamespace(get_optimize_ddp_mode=lambda: _DDP_MODE))
        torch._dynamo = stand_in
        try:
            init(*args, **kwargs)
        finally:
            # an import meanwhile has put the real one there
            if torch._dynamo is stand_in:
                del torch._dynamo

    return call


def _unless_compiling(method: Callable[..., Any], eager: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return (method if _DYNAMO in sys.modules else eager)(*args, **kwargs)

    return call


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _with_gradients_as_configured(step: Callable[..., Any]) -> Callable[..., Any]:
    """What torch does around a step, but for the two graph breaks of the compiler."""
    torch = sys.modules["torch"]

    def call(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(optimizer.defaults["differentiable"]):
            return step(optimizer, *args, **kwargs)

    return call


def _subclasses(cls: type[Any]) -> set[type[Any]]:
    children: list[type[Any]] = cls.__subclasses__()
    return {below for child in children for below in (child, *_subclasses(child))}


def _code(function: Any) -> CodeType:
    code = function.__code__
    assert isinstance(code, CodeType)
    return code


def _nothing() -> None:
    pass
