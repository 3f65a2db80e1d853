"""TensorBoard's event file: protobuf events framed as TFRecords.

tensorboard's own RecordWriter is not used: importing it takes 300 ms (numpy, fsspec, every plugin's summaries)
and this 50.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event

from hpo.disk import writing

_PREFIX = "events.out.tfevents."
# a frame: the data's length in eight bytes, the length's checksum, the data, the data's checksum
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_NAME_STEP_S = 1e-3


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
    length = _LENGTH.pack(len(data))
    return b"".join((length, _CRC.pack(_masked_crc32c(length)), data, _CRC.pack(_masked_crc32c(data))))


class EventFile:
    """Appends events to a new file in `directory`; each `write` is with the kernel when it returns: no flush."""

    def __init__(self, directory: Path) -> None:
        with writing(directory):
            directory.mkdir(exist_ok=True)
        now = time.time()
        # TensorBoard takes any file with "tfevents" in its name and reads a directory's files in their order: this
        # one comes behind those that are there, whatever the clock that named them
        last = max((_time_of(path) for path in event_files(directory)), default=0.0)
        stamp = max(now, last + _NAME_STEP_S)
        path = directory / f"{_PREFIX}{stamp:017.6f}.{socket.gethostname()}.{os.getpid()}"
        self._path = path
        with writing(path):
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.write(Event(wall_time=now, file_version="brain.Event:2"))

    def write(self, *events: Event) -> None:
        frames = memoryview(b"".join(map(_frame, events)))
        with writing(self._path, len(frames)):
            while frames:
                # a short write means a disk that is all but full: the next one says so
                frames = frames[os.write(self._fd, frames) :]

    def close(self) -> None:
        os.close(self._fd)


def event_files(directory: Path) -> list[Path]:
    """The event files that are there, in the order in which TensorBoard reads them."""
    return sorted(directory.glob(f"{_PREFIX}*"))


def first_events(path: Path, count: int) -> list[Event]:
    """The first whole events of a file."""
    data = path.read_bytes()
    return [_event(data, *frame) for frame, _ in zip(_frames(data), range(count), strict=False)]


def cut_end(path: Path, is_cut: Callable[[Event], bool]) -> None:
    """Take the last events off a file, as long as they are such, and an event that was cut."""
    data = path.read_bytes()
    frames = list(_frames(data))
    while frames and is_cut(_event(data, *frames[-1])):
        frames.pop()
    end = frames[-1][1] if frames else 0
    if end < len(data):
        os.truncate(path, end)


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each whole frame begins and ends."""
    start = 0
    while start + _LENGTH.size <= len(data):
        end = start + _LENGTH.size + 2 * _CRC.size + _LENGTH.unpack_from(data, start)[0]
        if end > len(data):
            return
        yield start, end
        start = end


def _event(data: bytes, start: int, end: int) -> Event:
    event = Event()
    event.ParseFromString(data[start + _LENGTH.size + _CRC.size : end - _CRC.size])
    return event


def _time_of(path: Path) -> float:
    try:
        return float(path.name.removeprefix(_PREFIX)[:17])
    except ValueError:  # somebody else's
        return 0.0
