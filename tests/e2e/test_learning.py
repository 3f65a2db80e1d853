"""What the shipped models learn from real images, printed: `pytest -s tests/e2e/test_learning.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Run

MNIST10K = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist10k"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MNIST10K.is_dir(), reason="the images are not beside this checkout"),
]


@pytest.mark.parametrize(
    ("model", "options", "at_least"),
    [("mlp", ["model_config.hidden_size=256"], 0.93), ("lenet5", ["train_config.epochs=6"], 0.97)],
)
def test_a_model_learns_mnist_within_ten_epochs(
    hpo: Callable[..., Run], model: str, options: list[str], at_least: float
) -> None:
    run = hpo(
        *("+experiment=mnist", "-m", f"model_config={model}", "search_space=none", "total_trials=1"),
        *(f"data_config.root={MNIST10K}", "+optim_metrics.val_accuracy=max", "optim_metrics.val_loss=null"),
        *("concurrent_trials=1", "threads_per_trial=1", "early_stopping_iter=1000", *options),
    )
    assert run.status == 0, run.stderr
    ((metrics,),) = run.trials("metrics")
    accuracy = json.loads(metrics)["val_accuracy"]
    print(f"{model}: validation accuracy {accuracy:.4f} (at least {at_least})")
    assert accuracy >= at_least
