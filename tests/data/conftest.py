from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hpo.data.idx_set import FILES

NUM_TRAIN, NUM_T10K = 60, 20


def idx(array: NDArray[np.uint8]) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def write_idx_files(root: Path, *, compressed: bool = True) -> Path:
    """Writes the four files, of a few random images, into a folder; image i has label i modulo 10."""
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for name, count in zip(FILES, (NUM_TRAIN, NUM_TRAIN, NUM_T10K, NUM_T10K), strict=True):
        if "images" in name:
            array = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        else:
            array = (np.arange(count) % 10).astype(np.uint8)
        if compressed:
            (root / f"{name}.gz").write_bytes(gzip.compress(idx(array), mtime=0))
        else:
            (root / name).write_bytes(idx(array))
    return root


@pytest.fixture
def write_mnist() -> Callable[..., Path]:
    return write_idx_files
