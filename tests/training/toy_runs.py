"""Short trainings of toy problems, for tests of what can be switched on."""

from __future__ import annotations

import torch

from hpo.training.loop import train

TOY = "tests.training.toy_problem"
LINE = {
    "data_config": {"_target_": f"{TOY}.LineOf", "kind": "tuples", "num_train": 8},
    "model_config": {"_target_": f"{TOY}.Linear"},
    "loss_config": {"_target_": "torch.nn.MSELoss"},
    "optimizer_config": {"_target_": "torch.optim.SGD", "lr": 0.1},
    "metrics": {},
}
PICTURES = {
    "data_config": {"_target_": f"{TOY}.Pictures"},
    "model_config": {"_target_": f"{TOY}.Convolution"},
    "optimizer_config": {"_target_": "torch.optim.SGD", "lr": 0.1},
    "metrics": {},
}
ONE_EPOCH = ("train_config.epochs=1", "train_config.batch_size=4", "device=cpu")


def trained(make_trial, *dotlist, **groups):
    """The trial and its last checkpoint."""
    trial = make_trial(*ONE_EPOCH, *dotlist, **groups)
    train(trial)
    return trial, trial.saved[-1][2]


def weights(state):
    return torch.cat([tensor.flatten().float() for tensor in state["model"].values()])


def data(kind, **sizes):
    return {"data_config": {"_target_": f"{TOY}.LineOf", "kind": kind, **sizes}}
