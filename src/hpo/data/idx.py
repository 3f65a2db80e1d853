"""Reads the IDX format of MNIST's files (http://yann.lecun.com/exdb/mnist), compressed or not."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpo.errors import DataError

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, num_dimensions: int) -> NDArray[np.uint8]:
    """The array of unsigned bytes in the file. Raises DataError, naming the file, when it is none."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error or type(error).__name__}") from error
    header_size = 4 + 4 * num_dimensions
    magic = bytes((0, 0, _UNSIGNED_BYTE, num_dimensions))
    if data[:4] != magic:
        raise DataError(
            f"{path} starts with {data[:4].hex(' ')}, but an IDX file of unsigned bytes in {num_dimensions} "
            f"dimension{'s' * (num_dimensions > 1)} starts with {magic.hex(' ')}"
        )
    if len(data) < header_size:
        raise DataError(f"{path} is cut off: its header of {header_size} bytes has only {len(data)}")
    shape = struct.unpack(f">{num_dimensions}I", data[4:header_size])
    if len(data) - header_size != math.prod(shape):
        raise DataError(
            f"{path} holds {len(data) - header_size} bytes of data, "
            f"but its header says {' x '.join(map(str, shape))} = {math.prod(shape)}"
        )
    return np.frombuffer(data, np.uint8, offset=header_size).reshape(shape)
