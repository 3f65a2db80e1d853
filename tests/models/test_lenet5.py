from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hpo.errors import ConfigError
from hpo.models.lenet5 import LeNet5


def test_parameters_are_those_of_the_paper():
    shapes = {name: tuple(tensor.shape) for name, tensor in LeNet5().state_dict().items() if "weight" in name}
    assert shapes == {
        "conv1.weight": (6, 1, 5, 5),
        "conv2.weight": (16, 6, 5, 5),
        "fc1.weight": (120, 16 * 5 * 5),
        "fc2.weight": (84, 120),
        "fc3.weight": (10, 84),
    }
    assert sum(parameter.numel() for parameter in LeNet5().parameters()) == 61_706


@pytest.mark.parametrize(("in_channels", "image_size"), [(1, 28), (3, 32), (1, 12), (1, 13), (2, 65)])
def test_images_of_its_size_become_class_scores(in_channels, image_size):
    model = LeNet5(in_channels=in_channels, image_size=image_size, num_classes=7)
    assert model(torch.zeros(2, in_channels, image_size, image_size)).shape == (2, 7)


@pytest.mark.parametrize(("pool", "layer"), [("max", nn.MaxPool2d), ("avg", nn.AvgPool2d)])
def test_the_pool_is_chosen_by_name(pool, layer):
    assert isinstance(LeNet5(pool=pool).pool, layer)


def test_dropout_works_in_training_only():
    torch.manual_seed(0)
    model, inputs = LeNet5(dropout=0.5), torch.ones(2, 1, 28, 28)
    assert not torch.equal(model(inputs), model(inputs))
    model.eval()
    assert torch.equal(model(inputs), model(inputs))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "swish"}, "activation 'swish' is unknown; choose one of relu, gelu"),
        ({"pool": "mean"}, "pool 'mean' is unknown; choose one of max, avg"),
        ({"image_size": 8}, "image_size must be at least 12 for lenet5, but is 8"),
        ({"in_channels": 0}, "in_channels must be at least 1, but is 0"),
    ],
)
def test_what_is_not_possible_is_named_with_what_is(arguments: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        LeNet5(**arguments)


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 784), (2, 28, 28), (2, 1, 32, 32)])
def test_images_of_another_shape_are_told_both_shapes(shape):
    with pytest.raises(ConfigError, match=r"\(N, 1, 28, 28\), but got") as raised:
        LeNet5()(torch.zeros(shape))
    assert str(shape) in str(raised.value)
