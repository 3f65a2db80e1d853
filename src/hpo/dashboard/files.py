"""What lies in the served directory, and nothing else: every path is resolved and opened inside it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hpo.paths import EXPERIMENT_PREFIX

_CHUNK = 1 << 18
# whole sequences of a terminal, then what is left of controls, and marks that turn the direction of text
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def resolve(directory: Path, relative: str) -> Path | None:
    """The real path of what `relative` names in `directory`; None where it leads out or to nothing."""
    if "\0" in relative or relative.startswith("/") or ".." in relative.split("/"):
        return None
    try:
        root = directory.resolve(strict=True)
        path = (root / relative).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # not there, a loop of links, a name too long or not to be spelled
        return None
    return path if path.is_relative_to(root) else None


def experiments(directory: Path) -> dict[str, Path]:
    """The experiments in `directory`, or the one that it is, by id; links that lead out are none."""
    is_one = directory.absolute().name.startswith(EXPERIMENT_PREFIX)
    found = [directory.absolute()] if is_one else sorted(directory.absolute().glob(f"{EXPERIMENT_PREFIX}*"))
    return {
        path.name.removeprefix(EXPERIMENT_PREFIX): path
        for path in found
        if path.is_dir() and (is_one or resolve(directory, path.name) is not None)
    }


def experiment(directory: Path, experiment_id: str) -> Path | None:
    """The directory of the experiment in `directory`, or that is it; None where there is none."""
    name = f"{EXPERIMENT_PREFIX}{experiment_id}"
    if "/" in experiment_id or not experiment_id:
        return None
    root = directory.absolute()
    if root.name == name:
        return root if root.is_dir() else None
    found = resolve(root, name)
    return root / name if found is not None and found.is_dir() else None


def opened(directory: Path, relative: str) -> BinaryIO | None:
    """The regular file that `relative` names in `directory`; None where there is none that may be read.

    Its real path is opened folder by folder without following links, so that none can be put in its way meanwhile.
    """
    path = resolve(directory, relative)
    if path is None:
        return None
    root = directory.resolve()
    folder = -1
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        for part in path.relative_to(root).parts:
            # a pipe would wait for its other end
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            os.close(folder)
            folder = inner
        if stat.S_ISREG(os.fstat(folder).st_mode):
            file, folder = os.fdopen(folder, "rb"), -1
            return file
    except OSError:
        return None
    finally:
        if folder >= 0:
            os.close(folder)
    return None


class _Download(StreamingResponse):
    """As many bytes as were announced, also of a file that grows; of a HEAD nothing is read."""

    def __init__(self, file: BinaryIO, headers: dict[str, str]) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        super().__init__(self._chunks(), headers=headers, media_type="application/octet-stream")
        self.headers["content-length"] = str(self._size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            if scope["method"] == "HEAD":
                await Response(headers=dict(self.headers))(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)

    def _chunks(self) -> Iterator[bytes]:
        left = self._size
        while left and (chunk := self._file.read(min(left, _CHUNK))):
            left -= len(chunk)
            yield chunk


def download(directory: Path, relative: str) -> Response:
    """A file for the disk of who asks: no browser runs or shows it. 404 for what may not be read."""
    file = opened(directory, relative)
    if file is None:
        return PlainTextResponse("There is no such file.", 404)
    name = relative.rpartition("/")[2]
    headers = {
        "content-disposition": f"attachment; filename*=utf-8''{quote(name, safe='', errors='replace')}",
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
    }
    return _Download(file, headers)


def tail(path: Path, max_bytes: int) -> str:
    """The newest lines of a log, from its last `max_bytes`, as plain text; an empty one where it cannot be read.

    Of a line that a progress bar wrote over, what is seen in the end remains.
    """
    content = b""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                start = max(0, status.st_size - max_bytes)
                # one byte more tells whether the first line is whole
                file.seek(max(0, start - 1))
                content = file.read(max_bytes + min(start, 1))
                if start:
                    first, _, rest = content.partition(b"\n")
                    content = rest or first[1:]
    return plain(content.decode("utf-8", errors="replace"))


def plain(text: str) -> str:
    """Text without what a terminal would obey; lines and tabs stay."""
    lines = _SEQUENCES.sub("", text).split("\n")
    return "\n".join(_CONTROLS.sub("", line.rstrip("\r").rpartition("\r")[2]) for line in lines)
