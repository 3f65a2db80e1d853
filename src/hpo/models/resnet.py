"""A residual network for small images."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from hpo.errors import ConfigError
from hpo.models.layers import activation as activation_layer
from hpo.models.layers import check_at_least, check_images, choice, group_norm

MakeNorm = Callable[[int], nn.Module]

_NORMS: Mapping[str | None, MakeNorm] = {
    None: nn.Identity,
    "batch": nn.BatchNorm2d,
    "group": group_norm,
}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (N, C, H, W) to (N, width, H / stride, W / stride)."""

    def __init__(self, in_channels: int, width: int, stride: int, make_norm: MakeNorm, activation: str) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, width, 3, stride, make_norm)
        self.bn1 = make_norm(width)
        self.activation = activation_layer(activation)
        self.conv2 = _conv(width, width, 3, 1, make_norm)
        self.bn2 = make_norm(width)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != width:
            projection = _conv(in_channels, width, 1, stride, make_norm)
            self.downsample = nn.Sequential(projection, make_norm(width))

    def forward(self, inputs: Tensor) -> Tensor:
        shortcut = inputs if self.downsample is None else self.downsample(inputs)
        hidden = self.bn2(self.conv2(self.activation(self.bn1(self.conv1(inputs)))))
        return cast(Tensor, self.activation(hidden + shortcut))


class ResNet(nn.Module):
    """Maps images (N, in_channels, H, W) to class scores (N, num_classes).

    He et al., 2016, as its section 4.2 shapes it for small images: a 3x3 stem without pooling, a stage of
    `blocks_per_stage` blocks for each of `widths`, the first block of all but the first stage halving the
    image; widths 16, 32, 64 with 3 blocks are its ResNet-20. Parameters are named as torchvision's are,
    whatever `norm` makes of bn1 and bn2; without one the convolutions have biases. `dropout` acts on the
    pooled features.

    Raises ConfigError for a name or size that is not possible, and for inputs of another shape.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        widths: Sequence[int] = (16, 32, 64),
        blocks_per_stage: int = 1,
        norm: str | None = "batch",
        activation: str = "relu",
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        check_at_least(1, in_channels=in_channels, num_classes=num_classes, blocks_per_stage=blocks_per_stage)
        if not widths:
            raise ConfigError("widths is empty; give the channels of each stage, for example [16, 32, 64]")
        check_at_least(1, **{f"widths[{index}]": width for index, width in enumerate(widths)})
        make_norm = choice("norm", norm, _NORMS)
        self.in_channels = in_channels
        self.conv1 = _conv(in_channels, widths[0], 3, 1, make_norm)
        self.bn1 = make_norm(widths[0])
        self.activation = activation_layer(activation)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        channels = widths[0]
        for number, width in enumerate(widths, start=1):
            blocks = []
            for block in range(blocks_per_stage):
                stride = 2 if number > 1 and block == 0 else 1
                blocks.append(BasicBlock(channels, width, stride, make_norm, activation))
                channels = width
            stages[f"layer{number}"] = nn.Sequential(*blocks)
        self._stage_names = tuple(stages)
        for name, stage in stages.items():
            self.add_module(name, stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.fc = nn.Linear(channels, num_classes)
        self.apply(_init)

    def forward(self, inputs: Tensor) -> Tensor:
        check_images(inputs, (self.in_channels, "H", "W"), "resnet")
        hidden = self.activation(self.bn1(self.conv1(inputs)))
        for name in self._stage_names:
            hidden = self.get_submodule(name)(hidden)
        return cast(Tensor, self.fc(self.dropout(self.avgpool(hidden).flatten(start_dim=1))))


def _conv(in_channels: int, width: int, kernel: int, stride: int, make_norm: MakeNorm) -> nn.Conv2d:
    """A convolution that keeps the size at stride 1, with a bias where no norm brings one."""
    bias = make_norm is nn.Identity
    return nn.Conv2d(in_channels, width, kernel, stride, padding=kernel // 2, bias=bias)


def _init(module: nn.Module) -> None:
    """Convolutions as He et al., 2015 draw them, and torchvision does."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
