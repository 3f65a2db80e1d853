from __future__ import annotations

import torch
from torch import nn

from hpo.models.mlp import MLP


def test_parameters_have_the_names_of_their_layers():
    shapes = {name: tuple(tensor.shape) for name, tensor in MLP(784, 453, 10).state_dict().items()}
    assert shapes == {"fc1.weight": (453, 784), "fc1.bias": (453,), "fc2.weight": (10, 453), "fc2.bias": (10,)}


def test_images_become_class_scores():
    assert MLP(784, 16, 10)(torch.zeros(5, 1, 28, 28)).shape == (5, 10)
    assert MLP(784, 16, 10)(torch.zeros(5, 784)).shape == (5, 10)


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
