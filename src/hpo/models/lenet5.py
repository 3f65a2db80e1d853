"""LeNet-5, with the activations and the pooling of today."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from torch import Tensor, nn

from hpo.errors import ConfigError
from hpo.models.layers import activation as activation_layer
from hpo.models.layers import check_at_least, check_images, choice

_POOLS: Mapping[str, Callable[[int], nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
_KERNEL = 5
# two halvings with a convolution between them that takes 4 off leave one pixel of 12
_MIN_IMAGE_SIZE = 12


class LeNet5(nn.Module):
    """Maps images (N, in_channels, image_size, image_size) to class scores (N, num_classes).

    LeCun et al., 1998: two convolutions of 6 and 16 channels, each pooled, and linear layers of 120, 84 and
    num_classes; `activation=tanh pool=avg` is near to the original. `dropout` acts on the linear layers.

    Raises ConfigError for a name or size that is not possible, and for inputs of another shape.
    """

    def __init__(
        self,
        in_channels: int = 1,
        image_size: int = 28,
        num_classes: int = 10,
        activation: str = "relu",
        pool: str = "max",
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, num_classes=num_classes)
        if image_size < _MIN_IMAGE_SIZE:
            raise ConfigError(f"image_size must be at least {_MIN_IMAGE_SIZE} for lenet5, but is {image_size}")
        self.image_shape = (in_channels, image_size, image_size)
        # padded, so that 28 pixels do as the original's 32
        self.conv1 = nn.Conv2d(in_channels, 6, _KERNEL, padding=_KERNEL // 2)
        self.conv2 = nn.Conv2d(6, 16, _KERNEL)
        side = (image_size // 2 - _KERNEL + 1) // 2
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.activation = activation_layer(activation)
        self.pool = choice("pool", pool, _POOLS)(2)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        check_images(inputs, self.image_shape, "lenet5")
        hidden = self.pool(self.activation(self.conv1(inputs)))
        hidden = self.pool(self.activation(self.conv2(hidden))).flatten(start_dim=1)
        hidden = self.dropout(self.activation(self.fc1(hidden)))
        hidden = self.dropout(self.activation(self.fc2(hidden)))
        return cast(Tensor, self.fc3(hidden))
