from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest

from hpo.recording.png import encode


def decode(data: bytes) -> np.ndarray:
    """The pixels of an unfiltered PNG of 8 bits a channel; every chunk's checksum is held against its data."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + content),)
        chunks.append((kind, content))
        at += 12 + length
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, bits, colour, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (bits, rest) == (8, [0, 0, 0])
    channels = {0: 1, 2: 3}[colour]
    rows = np.frombuffer(zlib.decompress(chunks[1][1]), np.uint8).reshape(height, 1 + width * channels)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, channels)


@pytest.mark.parametrize("shape", [(28, 28, 1), (3, 5, 3), (1, 1, 1), (64, 2, 3)])
def test_pixels_come_back_as_they_went_in(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(decode(encode(pixels)), pixels)


def test_pixels_need_not_lie_in_memory_in_their_order():
    pixels = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5).transpose(1, 2, 0)
    assert np.array_equal(decode(encode(pixels)), pixels)


def test_another_program_reads_it():
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for mode, shape in (("L", (6, 4, 1)), ("RGB", (6, 4, 3))):
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        read = image.open(io.BytesIO(encode(pixels)))
        assert (read.mode, read.size) == (mode, (4, 6))
        assert np.array_equal(np.asarray(read).reshape(shape), pixels)
