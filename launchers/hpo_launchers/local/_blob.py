"""Bytes handed to another process as an open file: nobody waits for a reader, whatever their size."""

from __future__ import annotations

import os
import tempfile


def make(data: bytes) -> int:
    """The descriptor of an anonymous file that holds `data`."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("hpo", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return fd


def read(fd: int) -> bytes:
    """All of it; leaves the file's position alone, which other processes share."""
    size = os.fstat(fd).st_size
    data = b""
    while len(data) < size:
        data += os.pread(fd, size - len(data), len(data))
    return data
