"""Arrays that are made piece by piece, so that making one takes no second copy of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Arrays = dict[str, NDArray[Any]]

_CHUNK_BYTES = 4 << 20


@dataclass(frozen=True)
class Chunked:
    """An array of `shape` and `dtype`, of which `chunks` follow each other along the first axis."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: Iterator[NDArray[Any]]

    def whole(self) -> NDArray[Any]:
        """The array in memory."""
        array = np.empty(self.shape, self.dtype)
        begin = 0
        for chunk in self.chunks:
            array[begin : begin + len(chunk)] = chunk
            begin += len(chunk)
        return array


def converted(source: NDArray[Any], dtype: DTypeLike, shape: tuple[int, ...], divisor: float = 1.0) -> Chunked:
    """`source` in another `dtype` and `shape` (with an equal first axis), divided by `divisor`."""
    wanted = np.dtype(dtype)

    def chunks() -> Iterator[NDArray[Any]]:
        bytes_each = max(1, wanted.itemsize * int(np.prod(shape[1:])))
        step = max(1, _CHUNK_BYTES // bytes_each)
        for begin in range(0, len(source), step):
            chunk = source[begin : begin + step].astype(wanted)
            if divisor != 1.0:
                chunk /= divisor
            yield chunk.reshape(-1, *shape[1:])

    return Chunked(shape, wanted, chunks())
