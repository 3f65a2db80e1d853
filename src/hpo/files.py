"""Files that appear whole or not at all, whenever their writer dies."""

from __future__ import annotations

import os
from pathlib import Path

from hpo.paths import temporary_for


def replace_file(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Replace a file whole: a reader sees the old data or the new, never a part; `durable`: also after a crash."""
    temporary = temporary_for(path)
    with temporary.open("wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)  # noqa: PTH105 - half the time of Path.replace, on a path of every log
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a crash of the machine."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Let what was written to a file survive a crash of the machine; nothing where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
