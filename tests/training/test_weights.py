"""Averages of the weights, and weights from a checkpoint."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hpo.errors import ConfigError
from tests.training.toy_problem import Linear, samples
from tests.training.toy_runs import LINE, trained


def test_an_average_of_the_weights_is_what_is_evaluated(make_trial):
    options = ("train_config.ema_decay=0.5", "train_config.batch_size=8", "train_config.epochs=2")
    trial, state = trained(make_trial, *options, **LINE)
    first = trial.saved[0][2]
    expected = {name: 0.5 * first["ema"][name] + 0.5 * state["model"][name] for name in state["model"]}
    assert all(torch.allclose(state["ema"][name], tensor) for name, tensor in expected.items())
    model = Linear()
    model.load_state_dict(state["ema"])
    inputs, targets = samples(7, seed=1)
    assert trial.records[-1]["val_loss"] == pytest.approx(nn.functional.mse_loss(model(inputs), targets).item())


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_a_decay_that_is_none_is_refused(make_trial, decay):
    with pytest.raises(ConfigError, match=rf"train_config\.ema_decay={decay} must lie between 0 and 1"):
        trained(make_trial, f"train_config.ema_decay={decay}", **LINE)


@pytest.mark.parametrize("is_whole", [True, False], ids=["a checkpoint of ours", "a bare state dict"])
def test_weights_are_taken_from_a_checkpoint(make_trial, tmp_path, is_whole):
    model = {"layer.weight": torch.tensor([[3.0]]), "layer.bias": torch.tensor([1.0])}
    path = tmp_path / "start.pt"
    torch.save({"model": model, "metrics": {}} if is_whole else model, path)
    frozen = {"optimizer_config": {"_target_": "torch.optim.SGD", "lr": 0.0}}
    _, state = trained(make_trial, f"init_chkpt={path}", **LINE | frozen)
    assert all(torch.equal(state["model"][name], tensor) for name, tensor in model.items())


def test_a_checkpoint_of_another_architecture_is_refused_with_all_that_does_not_match(make_trial, tmp_path):
    path = tmp_path / "start.pt"
    torch.save({"layer.weight": torch.zeros(2, 1), "head.bias": torch.zeros(1)}, path)
    with pytest.raises(ConfigError) as raised:
        trained(make_trial, f"init_chkpt={path}", **LINE)
    assert str(raised.value).startswith(f"init_chkpt={path} does not match Linear: layer.bias is missing, ")
    assert "head.bias is not in the model" in str(raised.value)
    assert "layer.weight has the shape (2, 1), in the model it is (1, 1)" in str(raised.value)


def test_what_matches_is_taken_when_that_is_asked_for(make_trial, tmp_path, caplog):
    path = tmp_path / "start.pt"
    torch.save({"layer.weight": torch.full((1, 1), 7.0), "head.bias": torch.zeros(1)}, path)
    frozen = {"optimizer_config": {"_target_": "torch.optim.SGD", "lr": 0.0}}
    options = (f"init_chkpt={path}", "init_chkpt_strict=false")
    _, state = trained(make_trial, *options, **LINE | frozen)
    assert state["model"]["layer.weight"].item() == 7.0
    assert f"init_chkpt {path}: head.bias is not in the model" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no such file"), (b"text", "cannot be read"), ({"model": 1}, "holds neither a checkpoint")],
    ids=["missing", "damaged", "something else"],
)
def test_a_file_without_weights_is_refused(make_trial, tmp_path, content, message):
    path = tmp_path / "start.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ConfigError, match=f"init_chkpt={path}.* {message}"):
        trained(make_trial, f"init_chkpt={path}", **LINE)
