"""Data held back for a test: the best trial is evaluated on it, once."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from hpo.paths import TrialPaths
from tests.e2e.conftest import Run

pytestmark = pytest.mark.slow


def test_the_best_trial_alone_is_evaluated_on_the_test_data(hpo: Callable[..., Run]) -> None:
    check(hpo, "local")


def test_so_it_is_in_the_schedulers_process(hpo_in_process: Callable[..., Run]) -> None:
    check(hpo_in_process, "basic")


def check(hpo: Callable[..., Run], launcher: str) -> None:
    run = hpo(
        *("+experiment=mnist", "-m", "data_config=digits", "data_config.test_fraction=0.2", "total_trials=2"),
        *("train_config.epochs=1", "model_config.hidden_size=int(interval(8,16))", f"hydra/launcher={launcher}"),
    )
    assert run.status == 0, run.stderr
    rows = run.trials("json_extract(metrics, '$.val_loss'), test_metrics, trial_id")
    (best,) = [row for row in rows if row[1] is not None]
    assert best[0] == min(row[0] for row in rows)
    assert set(json.loads(best[1])) == {"test_loss", "test_accuracy"}
    metadata = json.loads(TrialPaths(run.paths.root / best[2]).metadata.read_text())
    assert metadata["outcome"]["state"] == "COMPLETE"
    assert metadata["test_outcome"]["metrics"] == json.loads(best[1])
    assert "on the test data: test_loss=" in run.stdout
