"""Checkpoints on disk: the newest few, and the best; each appears whole or not at all."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from hpo.errors import TrialError
from hpo.paths import TrialPaths

logger = logging.getLogger("hpo.train")

_PLAIN = (bool, int, float, complex, str, bytes)
_ITERATION = re.compile(r"_(\d+)\.pt$")


class Checkpoints:
    """The checkpoints of one trial; torch is imported only when one is written or read."""

    def __init__(self, paths: TrialPaths, keep_n: int) -> None:
        self._paths = paths
        self._keep_n = keep_n

    def save(
        self, state: Mapping[str, Any], iteration: int, *, best: bool, before_rename: Callable[[], None]
    ) -> None:
        """Write `state` durably as the checkpoint of `iteration`, and as the only best one when `best`.

        `before_rename` is called when the data is on the disk and has not yet got its name. Raises TrialError for
        what `torch.load` would refuse.
        """
        import torch

        plain_state = loadable(state)
        target = self._paths.checkpoint(iteration)
        temporary = target.with_name(f".{target.name}.tmp")
        with temporary.open("wb") as file:
            torch.save(plain_state, file)
            file.flush()
            os.fsync(file.fileno())
        before_rename()
        if best:
            publish(temporary, self._paths.best_checkpoint(iteration))
        temporary.replace(target)
        for old in by_iteration(self._paths.checkpoints)[self._keep_n :]:
            old.unlink()

    def restore(self) -> dict[str, Any] | None:
        """The newest checkpoint that loads, with its tensors on the CPU; None when there is none."""
        import torch

        found = [*by_iteration(self._paths.checkpoints), *by_iteration(self._paths.best_checkpoints)]
        for path in sorted(found, key=iteration_of, reverse=True):
            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu")
            except Exception as error:  # whatever a damaged file makes of torch.load
                logger.warning("checkpoint %s cannot be read and is passed over: %s", path, error)
            else:
                return state
        return None


def publish(written: Path, target: Path) -> None:
    """Give a file a second name, as the only checkpoint of its folder; by a hard link where there are such."""
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(written)
    except OSError:
        shutil.copyfile(written, temporary)
    temporary.replace(target)
    for old in by_iteration(target.parent):
        if old != target:
            old.unlink()


def loadable(value: Any, key: str = "state") -> Any:
    """`value` as tensors and plain values, which `torch.load` takes by default.

    NumPy's scalars and arrays, paths and enums are converted. Raises TrialError for anything else, by its key.
    """
    if value is None or (isinstance(value, bool | int | float | complex | str | bytes) and type(value) in _PLAIN):
        return value
    import numpy
    import torch

    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, Mapping):
        items = {loadable(name, key): loadable(child, f"{key}[{name!r}]") for name, child in value.items()}
        is_same = type(value) in (dict, OrderedDict) and all(items.get(name) is value[name] for name in value)
        # a state_dict is left as it is: it has attributes of its own
        return value if is_same else items
    if isinstance(value, list | tuple):
        entries = [loadable(child, f"{key}[{index}]") for index, child in enumerate(value)]
        return tuple(entries) if isinstance(value, tuple) else entries
    if isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, numpy.ndarray) and value.dtype.kind in "biufc":
        return torch.from_numpy(value.copy())
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, PurePath):
        return str(value)
    raise TrialError(
        f"a checkpoint holds tensors, numbers, strings, lists and mappings of them, but {key} is a "
        f"{type(value).__name__}"
    )


def iteration_of(path: Path) -> int:
    """The iteration in a checkpoint's file name."""
    found = _ITERATION.search(path.name)
    return int(found.group(1)) if found else -1


def by_iteration(folder: Path) -> list[Path]:
    """The checkpoints in a folder, newest first."""
    return sorted(folder.glob("*.pt"), key=iteration_of, reverse=True)
