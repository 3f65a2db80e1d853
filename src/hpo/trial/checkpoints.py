"""Checkpoints on disk: the newest few, and the best; each appears whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from hpo.disk import writing
from hpo.errors import NO_MEMORY, TrialError
from hpo.faults import reach
from hpo.files import removed_on_failure, sync_file, sync_folder
from hpo.paths import TrialPaths, temporary_for

logger = logging.getLogger("hpo.train")

_PLAIN = (bool, int, float, complex, str, bytes)
_ITERATION = re.compile(r"_(\d+)\.pt$")


@dataclass(frozen=True)
class Restored:
    """What a checkpoint holds, with its tensors on the CPU."""

    iteration: int
    state: dict[str, Any]


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
        temporary = temporary_for(target)
        with writing(target), removed_on_failure(temporary):
            with temporary.open("wb") as file:
                torch.save(plain_state, file)
                file.flush()
                reach("checkpoint_half_written", lambda: file.truncate(file.tell() // 2))
                os.fsync(file.fileno())
            before_rename()
            reach("checkpoint_unnamed")
            if best:
                publish(temporary, self._paths.best_checkpoint(iteration))
                reach("checkpoint_best_named")
            temporary.replace(target)
            sync_folder(target.parent)
            reach("checkpoint_named")
            self._rotate()

    def restore(self) -> dict[str, Any] | None:
        """The state in the newest checkpoint that loads; see `newest`."""
        restored = self.newest()
        return restored.state if restored is not None else None

    def newest(self) -> Restored | None:
        """The newest checkpoint that loads; None when there is none.

        Raises OSError and MemoryError: they say nothing of the file, which may be whole.
        """
        for path in self._newest_first():
            import torch

            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu")
            except Exception as error:  # whatever a damaged file makes of torch.load
                if _is_of_the_machine(error):
                    raise
                logger.warning(
                    "checkpoint %s cannot be read and is passed over: %s: %s", path, type(error).__name__, error
                )
            else:
                return Restored(iteration_of(path), state)
        return None

    def iterations(self) -> set[int]:
        """Those of all checkpoints that are there."""
        return {iteration_of(path) for path in self._newest_first()}

    def cut_back(self, iteration: int, best_iteration: int) -> None:
        """Remove what lies beyond `iteration`, which did not load, and what a crash has kept from being rotated.

        `best_iteration` is that of the best metrics up to `iteration`: its checkpoint becomes the best one again
        where that is gone. The one of `iteration` gets the name that a crash has kept from it.
        """
        for path in self._newest_first():
            if iteration_of(path) > iteration:
                path.unlink()
        best = by_iteration(self._paths.best_checkpoints)
        for path in best[1:]:
            path.unlink()
        if not best and self._paths.checkpoint(best_iteration).exists():
            publish(self._paths.checkpoint(best_iteration), self._paths.best_checkpoint(best_iteration))
        ordinary, as_best = self._paths.checkpoint(iteration), self._paths.best_checkpoint(iteration)
        if self._keep_n and as_best.exists() and not ordinary.exists():
            name_again(as_best, ordinary)
        self._rotate()

    def remove(self) -> None:
        """Remove all of them, the newest first, so that what a crash leaves is an earlier state."""
        for path in self._newest_first():
            path.unlink()

    def _newest_first(self) -> list[Path]:
        found = [*by_iteration(self._paths.checkpoints), *by_iteration(self._paths.best_checkpoints)]
        return sorted(found, key=iteration_of, reverse=True)

    def _rotate(self) -> None:
        for old in by_iteration(self._paths.checkpoints)[self._keep_n :]:
            old.unlink()


def publish(written: Path, target: Path) -> None:
    """Give a file a second name, as the only checkpoint of its folder."""
    name_again(written, target)
    for old in by_iteration(target.parent):
        if old != target:
            old.unlink()


def name_again(written: Path, target: Path) -> None:
    """Give a file a second name; by a hard link where there are such."""
    temporary = temporary_for(target)
    temporary.unlink(missing_ok=True)
    try:
        temporary.hardlink_to(written)
    except OSError:
        with removed_on_failure(temporary):
            shutil.copyfile(written, temporary)
            sync_file(temporary)
    temporary.replace(target)
    temporary.unlink(missing_ok=True)  # a rename between two names of one file does nothing
    sync_folder(target.parent)


def _is_of_the_machine(error: Exception) -> bool:
    """Whether what torch.load raised says nothing of the file; that it is too short to seek in says something."""
    if isinstance(error, OSError):
        return error.errno != errno.EINVAL
    return isinstance(error, MemoryError) or NO_MEMORY in str(error)


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
    found = [path for path in folder.glob("*.pt") if iteration_of(path) >= 0]
    return sorted(found, key=iteration_of, reverse=True)
