"""A convolutional network whose argument has the name that the data gives it."""

from __future__ import annotations

from torch import Tensor, nn


class ShapeNet(nn.Module):
    """float32 (N, 1, side, side) to scores (N, num_classes); a side is a multiple of 4."""

    def __init__(self, channels: int, dropout: float | None, side: int, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classify = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout or 0.0),
            nn.Linear(channels * (side // 4) ** 2, num_classes),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.classify(self.features(image))
