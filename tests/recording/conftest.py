from __future__ import annotations

from pathlib import Path

import pytest

from hpo.paths import TrialPaths
from hpo.records import TrialInfo


@pytest.fixture
def info(tmp_path: Path) -> TrialInfo:
    trial = TrialPaths(tmp_path / "0003_1f3a")
    trial.dashboard.mkdir(parents=True)
    params = {"model_config.hidden_size": 453, "optimizer_config.lr": 0.0026, "optimizer_config": "sgd"}
    return TrialInfo(
        number=3,
        trial_id="0003_1f3a",
        directory=str(trial.root),
        config={
            "name": "mnist",
            "tags": ["tutorial", "cpu"],
            "notes": "How wide?",
            "model_config": {"_target_": "hpo.models.mlp.MLP", "hidden_size": 453},
            "optimizer_config": {"lr": 0.0026},
            "search_space": {
                "model_config.hidden_size": "int(interval(32, 512))",
                "optimizer_config.lr": "tag(log, interval(1e-4, 1e-1))",
                "optimizer_config": ["sgd", "adam"],
            },
        },
        params=params,
        objectives=("val_loss",),
    )


@pytest.fixture
def records() -> list[dict[str, float | int]]:
    """The first records of the document of the output directory: one that only logs, then two evaluations."""
    nan, inf = float("nan"), float("inf")
    common = {"epochs": 10, "learning_rate": 0.0026, "total_steps": 18750}
    losses = ((4.23, nan, 0, inf), (1.59, 1.48, 3750, 1.48), (1.42, 1.67, 3750, 1.48))
    return [
        {
            "train_loss": train_loss,
            "val_loss": val_loss,
            "best_iteration": best_iteration,
            "best_loss": best_loss,
            "current_epoch": epoch,
            "current_iteration": epoch * 1875,
            **common,
        }
        for epoch, (train_loss, val_loss, best_iteration, best_loss) in enumerate(losses, start=1)
    ]
