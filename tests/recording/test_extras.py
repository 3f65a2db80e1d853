"""Recorders of packages that are not installed."""

from __future__ import annotations

import sys

import pytest

from hpo.errors import ConfigError
from hpo.recording.mlflow_run import MlflowRun
from hpo.recording.wandb_run import WandbRun


@pytest.fixture
def without_extras(monkeypatch):
    for module in ("mlflow", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)


def test_a_missing_mlflow_is_told_with_the_line_that_installs_it(without_extras, info, tmp_path):
    with pytest.raises(ConfigError, match=r"recorder=mlflow needs mlflow, .*: pip install 'hpo\[mlflow\]'"):
        MlflowRun(info, tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")


def test_a_missing_wandb_is_told_with_the_line_that_installs_it(without_extras, info):
    with pytest.raises(ConfigError, match=r"recorder=wandb needs wandb, .*: pip install 'hpo\[wandb\]'"):
        WandbRun(info)
