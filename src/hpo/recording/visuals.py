"""Histograms and images as the summaries that TensorBoard's plugins read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_STRING

from hpo.recording.png import encode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUM_BUCKETS = 30
"""As TensorBoard's own summaries have by default."""


def histogram(tag: str, tensor: NDArray[np.floating[Any]]) -> Summary.Value | None:
    """The finite values of `tensor`, of any shape, in equal buckets; None when there are none.

    The plugin's format: a float64 tensor (NUM_BUCKETS, 3) of left edge, right edge and count.
    """
    import numpy as np

    values = tensor.astype(np.float64).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    edges, counts = _buckets(values)
    table = np.stack((edges[:-1], edges[1:], counts), axis=1)
    proto = TensorProto(
        dtype=DT_DOUBLE, tensor_shape=_shape(*table.shape), tensor_content=table.astype("<f8").tobytes()
    )
    return Summary.Value(tag=tag, tensor=proto, metadata=metadata("histograms"))


def images(tag: str, pixels: NDArray[np.uint8]) -> Summary.Value:
    """Images (N, height, width, channels) with 1 or 3 channels, as width, height and a PNG each.

    Raises ValueError for pixels of another shape or type.
    """
    if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3) or pixels.dtype != "uint8":
        raise ValueError(
            f"images of {tag!r} must be uint8 (N, height, width, channels) with 1 or 3 channels, "
            f"but are {pixels.dtype} {pixels.shape}"
        )
    height, width = pixels.shape[1:3]
    strings = [b"%d" % width, b"%d" % height, *map(encode, pixels)]
    proto = TensorProto(dtype=DT_STRING, tensor_shape=_shape(len(strings)), string_val=strings)
    return Summary.Value(tag=tag, tensor=proto, metadata=metadata("images"))


def metadata(plugin: str, content: bytes = b"") -> SummaryMetadata:
    """What tells TensorBoard which plugin shows a summary."""
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))


def _buckets(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """NUM_BUCKETS + 1 edges and the counts between them; values that are all one lie in the last bucket."""
    import numpy as np

    low, high = values.min(), values.max()
    width = high / NUM_BUCKETS - low / NUM_BUCKETS
    if width == 0:
        indices = np.full(values.shape, NUM_BUCKETS - 1)
    else:
        indices = np.minimum((values - low) / width, NUM_BUCKETS - 1).astype(np.intp)
    edges = np.linspace(low, high, NUM_BUCKETS + 1)
    return edges, np.bincount(indices, minlength=NUM_BUCKETS).astype(np.float64)


def _shape(*sizes: int) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])
