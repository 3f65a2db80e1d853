from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hpo.errors import ConfigError
from hpo.models.layers import ACTIVATIONS
from hpo.models.mlp import MLP


def test_parameters_have_the_names_of_their_layers():
    shapes = {name: tuple(tensor.shape) for name, tensor in MLP(784, 453, 10).state_dict().items()}
    assert shapes == {"fc1.weight": (453, 784), "fc1.bias": (453,), "fc2.weight": (10, 453), "fc2.bias": (10,)}


@pytest.mark.parametrize("dropout", [None, 0.0, 0.5])
def test_one_hidden_layer_is_a_pair_of_linear_layers_to_the_bit(dropout):
    torch.manual_seed(3)
    model = MLP(784, 32, 10, dropout=dropout)
    torch.manual_seed(3)
    fc1, fc2 = nn.Linear(784, 32), nn.Linear(32, 10)
    pair = {f"fc1.{name}": value for name, value in fc1.state_dict().items()}
    pair |= {f"fc2.{name}": value for name, value in fc2.state_dict().items()}
    assert list(model.state_dict()) == list(pair)
    assert all(torch.equal(value, pair[name]) for name, value in model.state_dict().items())

    inputs = torch.rand(5, 1, 28, 28)
    torch.manual_seed(4)
    scores = model(inputs)
    torch.manual_seed(4)
    hidden = fc1(inputs.flatten(start_dim=1)).relu()
    assert torch.equal(scores, fc2(nn.functional.dropout(hidden, dropout) if dropout else hidden))


def test_images_become_class_scores():
    assert MLP(784, 16, 10)(torch.zeros(5, 1, 28, 28)).shape == (5, 10)
    assert MLP(784, 16, 10)(torch.zeros(5, 784)).shape == (5, 10)
    assert MLP(784, 16, 10)(torch.zeros(0, 784)).shape == (0, 10)


def test_each_hidden_layer_is_numbered_and_as_wide_as_the_others():
    model = MLP(6, 4, 2, dropout=0.1, num_layers=3, activation="gelu", norm="layer")
    kinds = ["fc", "norm", "activation", "dropout"]
    names = [f"{kind}{number}" for number in (1, 2, 3) for kind in kinds]
    assert [name for name, _ in model.named_children()] == [*names, "fc4"]
    assert [model.state_dict()[f"fc{number}.weight"].shape for number in (1, 2, 3, 4)] == [
        (4, 6),
        (4, 4),
        (4, 4),
        (2, 4),
    ]


def test_no_hidden_layer_leaves_one_linear_map():
    assert [name for name, _ in MLP(6, 4, 2, num_layers=0).named_parameters()] == ["fc1.weight", "fc1.bias"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", [None, "batch", "layer"])
def test_every_activation_and_norm_learns(activation, norm):
    model = MLP(6, 4, 2, num_layers=2, activation=activation, norm=norm)
    model(torch.rand(8, 6)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_dropout_works_in_training_only():
    torch.manual_seed(0)
    model, inputs = MLP(784, 64, 10, dropout=0.5), torch.ones(2, 784)
    assert not torch.equal(model(inputs), model(inputs))
    model.eval()
    assert torch.equal(model(inputs), model(inputs))


def test_no_dropout_draws_no_random_number():
    for dropout in (None, 0.0):
        model = MLP(4, 4, 2, dropout=dropout)
        assert not any(isinstance(module, nn.Dropout) for module in model.modules())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"activation": "swish"},
            "activation 'swish' is unknown; choose one of relu, gelu, tanh, silu, leaky_relu",
        ),
        ({"activation": None}, "activation None is unknown"),
        ({"norm": "group"}, "norm 'group' is unknown; choose one of null, batch, layer"),
        ({"num_layers": -1}, "num_layers must be at least 0, but is -1"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, but is 0"),
    ],
)
def test_what_is_not_possible_is_named_with_what_is(arguments: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        MLP(**{"input_size": 4, "hidden_size": 4, "num_classes": 2} | arguments)


@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (784,), (2, 783)])
def test_inputs_of_another_size_are_told_both_shapes(shape):
    with pytest.raises(ConfigError, match=r"784 values per sample, but got \(\d") as raised:
        MLP(784, 4, 2)(torch.zeros(shape))
    assert str(shape) in str(raised.value)
