"""TensorBoard's event file: protobuf events framed as TFRecords.

tensorboard's own RecordWriter is not used: importing it takes 300 ms (numpy, fsspec, every plugin's summaries)
and this 50.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE = _crc32c_table()


def _masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), rotated and shifted as the TFRecord format asks."""
    crc = 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _frame(event: Event) -> bytes:
    data: bytes = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    return b"".join(
        (length, struct.pack("<I", _masked_crc32c(length)), data, struct.pack("<I", _masked_crc32c(data)))
    )


class EventFile:
    """Appends events to a new file in `directory`; each `write` is with the kernel when it returns: no flush."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        now = time.time()
        # TensorBoard takes any file with "tfevents" in its name and reads a directory's files in their order
        path = directory / f"events.out.tfevents.{now:017.6f}.{socket.gethostname()}.{os.getpid()}"
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.write(Event(wall_time=now, file_version="brain.Event:2"))

    def write(self, *events: Event) -> None:
        frames = memoryview(b"".join(map(_frame, events)))
        while frames:
            # a short write means a disk that is all but full: the next one says so
            frames = frames[os.write(self._fd, frames) :]

    def close(self) -> None:
        os.close(self._fd)
