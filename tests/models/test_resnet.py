from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hpo.errors import ConfigError
from hpo.models.resnet import ResNet


def test_parameters_are_named_as_torchvisions_are():
    names = {name for name, _ in ResNet(widths=[4, 8]).named_parameters()}
    block = {f"{part}.weight" for part in ("conv1", "conv2", "bn1", "bn2")} | {"bn1.bias", "bn2.bias"}
    assert names == {
        *("conv1.weight", "bn1.weight", "bn1.bias", "fc.weight", "fc.bias"),
        *(f"layer{stage}.0.{name}" for stage in (1, 2) for name in block),
        *("layer2.0.downsample.0.weight", "layer2.0.downsample.1.weight", "layer2.0.downsample.1.bias"),
    }


def test_three_blocks_per_stage_are_the_resnet_20_of_the_paper():
    model = ResNet(in_channels=3, blocks_per_stage=3)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len([conv for conv in convolutions if conv.kernel_size == (3, 3)]) + 1 == 20
    assert sum(parameter.numel() for parameter in model.parameters()) == 272_474


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 1, 32, 20), (2, 1, 5, 5)])
def test_images_of_any_size_become_class_scores(shape):
    assert ResNet(num_classes=7, widths=[4, 8, 8])(torch.zeros(shape)).shape == (2, 7)


def test_every_stage_but_the_first_halves_the_image():
    model, sizes = ResNet(widths=[4, 4, 8], blocks_per_stage=2), []
    for stage in (model.layer1, model.layer2, model.layer3):
        stage.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[1:])))
    model(torch.zeros(1, 1, 28, 28))
    assert sizes == [(4, 28, 28), (4, 14, 14), (8, 7, 7)]


@pytest.mark.parametrize(("norm", "layer"), [("batch", nn.BatchNorm2d), ("group", nn.GroupNorm)])
def test_the_norm_is_chosen_by_name_and_takes_the_place_of_biases(norm, layer):
    model = ResNet(widths=[6, 40], norm=norm)
    assert isinstance(model.bn1, layer)
    assert all(conv.bias is None for conv in model.modules() if isinstance(conv, nn.Conv2d))
    model(torch.rand(2, 1, 8, 8)).sum().backward()


def test_without_a_norm_the_convolutions_have_biases():
    model = ResNet(widths=[4, 8], norm=None)
    assert all(conv.bias is not None for conv in model.modules() if isinstance(conv, nn.Conv2d))
    assert not [name for name, _ in model.named_parameters() if "bn" in name]


def test_a_state_dict_loads_again():
    model = ResNet(widths=[4, 8])
    ResNet(widths=[4, 8]).load_state_dict(model.state_dict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": "layer"}, "norm 'layer' is unknown; choose one of null, batch, group"),
        ({"activation": "swish"}, "activation 'swish' is unknown; choose one of relu, gelu"),
        ({"widths": []}, r"widths is empty; .*\[16, 32, 64\]"),
        ({"widths": [16, 0]}, r"widths\[1\] must be at least 1, but is 0"),
        ({"blocks_per_stage": 0}, "blocks_per_stage must be at least 1, but is 0"),
    ],
)
def test_what_is_not_possible_is_named_with_what_is(arguments: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        ResNet(**arguments)


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 784), (2, 28, 28)])
def test_images_of_another_shape_are_told_both_shapes(shape):
    with pytest.raises(ConfigError, match=r"\(N, 1, H, W\), but got") as raised:
        ResNet()(torch.zeros(shape))
    assert str(shape) in str(raised.value)
