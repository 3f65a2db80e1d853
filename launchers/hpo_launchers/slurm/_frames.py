"""Files on a shared directory that one process appends to and another one reads while they grow.

Each frame is whole or not there: its length and its checksum come first, and a reader waits for the rest. Both
sides open the file anew each time, which is when network filesystems look at what others have written.
"""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_HEADER = struct.Struct("!II")


class FrameWriter:
    """The only one that writes to the file."""

    def __init__(self, path: Path) -> None:
        """What an earlier writer that was killed has left half written is cut off."""
        self._path = path
        reader = FrameReader(path)
        reader.read()
        if path.exists() and path.stat().st_size > reader.offset:
            with path.open("r+b") as file:
                file.truncate(reader.offset)

    def append(self, frames: Iterable[Any]) -> None:
        data = bytearray()
        for frame in frames:
            body = pickle.dumps(frame, protocol=pickle.HIGHEST_PROTOCOL)
            data += _HEADER.pack(len(body), zlib.crc32(body))
            data += body
        if data:
            with self._path.open("ab", buffering=0) as file:
                file.write(data)


class FrameReader:
    """Reads what has come since the last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.offset = 0

    def read(self) -> list[Any]:
        try:
            with self._path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return []
        frames, start = [], 0
        while len(data) >= start + _HEADER.size:
            size, checksum = _HEADER.unpack_from(data, start)
            body = data[start + _HEADER.size : start + _HEADER.size + size]
            # a network filesystem may show the length of what is not there yet
            if len(body) < size or zlib.crc32(body) != checksum:
                break
            frames.append(pickle.loads(body))
            start += _HEADER.size + size
        self.offset += start
        return frames
