"""Images and their classes as in-memory datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpo.data.chunked import Arrays
from hpo.data.hold_out import hold_out
from hpo.data.idx_set import T10K, TRAIN
from hpo.data.protocol import Splits

if TYPE_CHECKING:
    from torch.utils.data import TensorDataset


def image_dataset(pixels: NDArray[Any], labels: NDArray[Any]) -> TensorDataset:
    """(N, height, width) pixels and (N,) labels, as float32 (N, 1, height, width), int64 (N,)."""
    import torch
    from torch.utils.data import TensorDataset

    images = pixels.astype(np.float32)[:, None]
    return TensorDataset(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def split_images(arrays: Arrays, val_fraction: float | None, seed: int) -> Splits:
    """t10k validates, or, with a `val_fraction` of train for that, tests. No part is a copy."""
    import torch
    from torch.utils.data import Subset, TensorDataset

    train, t10k = (
        TensorDataset(*(torch.from_numpy(arrays[f"{part}_{kind}"]) for kind in ("images", "labels")))
        for part in (TRAIN, T10K)
    )
    if val_fraction is None:
        return Splits(train=train, val=t10k)
    kept, held = hold_out(len(train), val_fraction, seed)
    return Splits(train=Subset(train, kept.tolist()), val=Subset(train, held.tolist()), test=t10k)
