"""Every model of conf/ as Hydra composes and builds it."""

from __future__ import annotations

from pathlib import Path

import hpo.conf
import pytest
import torch
from hydra.utils import instantiate
from torch import nn

OPTIONS = sorted(path.stem for path in (Path(str(hpo.conf.__file__)).parent / "model_config").glob("*.yaml"))
MODELS = [option for option in OPTIONS if option != "none"]


@pytest.mark.parametrize("option", MODELS)
def test_a_model_runs_forward_and_backward(compose_run, option):
    model = instantiate(compose_run(f"model_config={option}").model_config, _convert_="all")
    scores = model(torch.rand(4, 1, 28, 28))
    assert scores.shape == (4, 10)
    nn.functional.cross_entropy(scores, torch.arange(4)).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("option", MODELS)
def test_dropout_may_be_null(compose_run, option):
    config = compose_run(f"model_config={option}", "model_config.dropout=null")
    assert not any(isinstance(module, nn.Dropout) for module in instantiate(config.model_config).modules())


@pytest.mark.parametrize("option", MODELS)
def test_an_activation_that_is_unknown_is_told(compose_run, option):
    config = compose_run(f"model_config={option}", "model_config.activation=swish")
    with pytest.raises(Exception, match="activation 'swish' is unknown"):
        instantiate(config.model_config)
