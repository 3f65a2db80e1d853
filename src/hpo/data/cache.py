"""Arrays that were decoded once, as files that every trial maps into its memory: their pages are there once.

An entry is a folder of .npy files and of `manifest.json`, which says what must be there. It never changes: it is
made beside its place and renamed when it is whole.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hpo.cache_folder import cache_folder
from hpo.data.chunked import Arrays, Chunked
from hpo.data.locks import locked

logger = logging.getLogger("hpo.data")

Build = Callable[[], Mapping[str, Chunked]]

# raise it when files of the same name mean something else
_FORMAT = 1
_KEEP_DAYS = 30
_SECONDS_A_DAY = 24 * 60 * 60
_NUM_DIGITS = 32
_MANIFEST = "manifest.json"
_UNFINISHED = ".unfinished-"
_LOCK = ".lock"


def shared_arrays(name: str, digest: str, build: Build) -> Arrays:
    """The arrays of `build`, which is called when there is no whole entry of this name and source digest.

    They are copied on write: what a process writes into one, it alone sees. Where the cache cannot be written
    they are made in memory, and a warning is logged. Errors of `build` pass, OSError excepted.
    """
    try:
        entry = _entry(name, digest)
        return _open(entry) or _made(entry, build)
    except OSError as error:
        logger.warning("no cache, so that each trial holds the data by itself (HPO_CACHE_DIR): %s", error)
        return {key: array.whole() for key, array in build().items()}


def is_cached(name: str, digest: str) -> bool:
    """Whether there is an entry; its files are not looked at."""
    try:
        return (_entry(name, digest) / _MANIFEST).is_file()
    except OSError:
        return False


def _entry(name: str, digest: str) -> Path:
    return cache_folder() / f"{name}-{_FORMAT}-{digest[:_NUM_DIGITS]}"


def _made(entry: Path, build: Build) -> Arrays:
    root = entry.parent
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f"{entry.name}{_LOCK}"):
        # another process may have been faster
        arrays = _open(entry)
        if arrays is None:
            _clear(entry)
            _write(entry, build())
            _remove_unused(root)
            arrays = _open(entry)
    if arrays is None:
        raise OSError(f"{entry} cannot be read back")
    return arrays


def _open(entry: Path) -> Arrays | None:
    """The arrays of an entry; None where there is none, or it is damaged."""
    try:
        manifest: dict[str, Any] = json.loads((entry / _MANIFEST).read_text(encoding="utf-8"))
        arrays = {}
        for key, (shape, dtype) in manifest.items():
            array = np.load(entry / f"{key}.npy", mmap_mode="c", allow_pickle=False)
            if (list(array.shape), array.dtype.str) != (shape, dtype):
                raise ValueError(f"{key} is not what the manifest says")
            arrays[key] = array
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, EOFError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s is damaged and will be made again: %s", entry, error)
        return None
    # in somebody else's cache they say when it was used
    with suppress(OSError):
        os.utime(entry)
    return arrays


def _write(entry: Path, arrays: Mapping[str, Chunked]) -> None:
    folder = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{entry.name}-", dir=entry.parent))
    try:
        for key, array in arrays.items():
            _write_array(folder / f"{key}.npy", array)
        manifest = {key: (array.shape, array.dtype.str) for key, array in arrays.items()}
        (folder / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        folder.chmod(0o755)
        folder.rename(entry)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_array(path: Path, array: Chunked) -> None:
    # written, not mapped: a full disk is then an error and no signal that kills
    with path.open("wb") as file:
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in array.chunks:
            file.write(np.ascontiguousarray(chunk, array.dtype).data)
        file.flush()
        # a crash of the machine must not leave an entry of the right size without its contents
        os.fsync(file.fileno())


def _clear(entry: Path) -> None:
    """Remove what a damaged entry, or a process that died over it, left. The lock is held."""
    for leftover in (entry, *entry.parent.glob(f"{_UNFINISHED}{entry.name}-*")):
        if leftover.exists():
            shutil.rmtree(leftover)


def _remove_unused(root: Path) -> None:
    """Remove what nobody used for a month. Processes that have mapped it keep it."""
    oldest = time.time() - _KEEP_DAYS * _SECONDS_A_DAY
    for path in root.iterdir():
        try:
            if path.stat().st_mtime >= oldest:
                continue
            if (path.is_dir() and (path / _MANIFEST).is_file()) or path.name.startswith(_UNFINISHED):
                shutil.rmtree(path)
            elif path.suffix == _LOCK:
                path.unlink()
        except OSError as error:
            logger.info("%s cannot be removed from the cache: %s", path, error)
