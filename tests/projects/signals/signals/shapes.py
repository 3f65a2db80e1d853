"""Images of four shapes, drawn when they are needed."""

from __future__ import annotations

import hashlib

import numpy as np

from hpo.data.protocol import Splits
from hpo.records import DataSource

SIDE = 16
NUM_CLASSES = 4


class Shapes:
    """A data module: says where its data comes from, and loads it; torch is imported in `load` alone."""

    def __init__(self, num_train: int, num_val: int, seed: int) -> None:
        self.num_train = num_train
        self.num_val = num_val
        self.seed = seed

    def source(self) -> DataSource:
        drawn_from = f"shapes {self.num_train} {self.num_val} {self.seed}"
        return DataSource("shapes", hashlib.sha256(drawn_from.encode()).hexdigest())

    def load(self, source: DataSource | None) -> Splits:
        from signals.augmented import AugmentedImages, Images

        rng = np.random.default_rng(self.seed)
        return Splits(
            train=AugmentedImages(*draw(self.num_train, rng)),
            val=Images(*draw(self.num_val, rng)),
        )


def draw(num_images: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """float32 (N, 1, 16, 16) between 0 and 1, and int64 (N,): 0 disc, 1 frame, 2 plus, 3 cross."""
    labels = rng.integers(NUM_CLASSES, size=num_images)
    images = np.stack([_shape(label, rng) for label in labels])
    images += rng.normal(0, 0.1, images.shape)
    return images.clip(0, 1).astype(np.float32)[:, None], labels


def _shape(label: int, rng: np.random.Generator) -> np.ndarray:
    radius = rng.uniform(3, 6)
    x, y = np.abs(np.mgrid[:SIDE, :SIDE] - rng.uniform(6, 9, (2, 1, 1)))
    inside = (x < radius) & (y < radius)
    drawn = (
        np.hypot(x, y) < radius,
        inside & (np.maximum(x, y) > radius - 1.5),
        inside & (np.minimum(x, y) < 1),
        inside & (np.abs(x - y) < 1),
    )
    return drawn[label].astype(float)
