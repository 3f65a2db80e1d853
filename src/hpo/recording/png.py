"""PNG files of 8 bits a channel: tensorboard brings no encoder without TensorFlow, and Pillow is no dependency."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# channels to the format's colour types: grey, and red, green, blue
_COLOUR_TYPES = {1: 0, 3: 2}
_BITS = 8
_UNFILTERED = b"\0"


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """The PNG of (height, width, channels) pixels with 1 (grey) or 3 (RGB) channels; W3C PNG specification."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, _BITS, _COLOUR_TYPES[channels], 0, 0, 0)
    rows = b"".join(_UNFILTERED + row.tobytes() for row in pixels)
    return b"".join(
        (_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
