"""Grey images and their classes as an in-memory dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch.utils.data import TensorDataset


def image_dataset(pixels: NDArray[Any], labels: NDArray[Any], white: float = 1.0) -> TensorDataset:
    """(N, height, width) pixels from 0 to `white` and (N,) labels, as float32 (N, 1, height, width), int64 (N,).

    Pixels come out between 0 and 1, as from torchvision's ToTensor.
    """
    import torch
    from torch.utils.data import TensorDataset

    scaled = pixels.astype(np.float32)
    if white != 1.0:
        scaled /= white
    return TensorDataset(torch.from_numpy(scaled[:, None]), torch.from_numpy(labels.astype(np.int64)))
