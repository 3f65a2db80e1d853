"""Datasets of images whose items are mappings; the training one changes an image whenever it is asked for."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset


class Images(Dataset[dict[str, Any]]):
    """Items `{"image": float32 (1, height, width), "label": int}`."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = torch.from_numpy(images)
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self.images[index], "label": int(self.labels[index])}


class AugmentedImages(Images):
    """Flipped, shifted and noisy, by the three generators that a user's code draws from."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = super().__getitem__(index)
        image = item["image"]
        if random.random() < 0.5:
            image = image.flip(-1)
        image = image.roll(tuple(np.random.randint(-2, 3, size=2).tolist()), dims=(-2, -1))
        return item | {"image": image + 0.1 * torch.randn(image.shape)}
