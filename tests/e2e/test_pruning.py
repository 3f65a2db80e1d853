from __future__ import annotations

import json
from collections.abc import Callable

import optuna
import pytest

from tests.e2e.conftest import Run

SMALL = (
    *("+experiment=mnist", "--multirun", "data_config=digits", "hydra/sweeper/sampler=random"),
    *("total_trials=8", "train_config.epochs=6", "tensorboard=false"),
)


@pytest.mark.slow
def test_trials_that_will_lose_are_stopped_and_keep_what_they_have(hpo: Callable[..., Run]) -> None:
    assert_pruned(hpo(*SMALL, "pruner=asha"))


@pytest.mark.slow
def test_trials_that_will_lose_are_stopped_in_the_schedulers_process(hpo_in_process: Callable[..., Run]) -> None:
    assert_pruned(hpo_in_process(*SMALL, "pruner=asha", "hydra/launcher=in_process"))


def assert_pruned(run: Run) -> None:
    assert run.status == 0, run.stderr
    trials = run.trials("trial_id, state, reason, metrics")
    pruned = [row for row in trials if row[1] == "PRUNED_POOR_PERFORMANCE"]
    assert {state for _, state, *_ in trials} == {"COMPLETE", "PRUNED_POOR_PERFORMANCE"}
    assert len(pruned) >= 4
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{run.paths.study_db}")
    for trial_id, _, reason, metrics in pruned:
        paths = run.paths.trial(trial_id)
        records = json.loads(paths.results.read_text())
        assert reason == "stopped by the pruner"
        assert json.loads(metrics)["val_loss"] == min(record["val_loss"] for record in records)
        assert len(list(paths.checkpoints.iterdir())) == 1
        assert len(list(paths.best_checkpoints.iterdir())) == 1
        known = study.trials[int(trial_id[:4])]
        assert known.state is optuna.trial.TrialState.PRUNED
        assert list(known.intermediate_values) == list(range(1, len(records) + 1))
        assert list(known.intermediate_values.values()) == [record["val_loss"] for record in records]
    assert sum(len(trial.intermediate_values) for trial in study.trials) < 0.75 * 8 * 6
    assert f"{len(pruned)} pruned" in run.stdout


def test_a_pruner_over_several_objectives_is_an_error_before_anything_starts(
    hpo_in_process: Callable[..., Run],
) -> None:
    run = hpo_in_process(*SMALL, "pruner=median", "+optim_metrics.val_accuracy=max")

    assert run.status == 2
    assert "several objectives (optim_metrics: val_loss, val_accuracy) cannot be pruned" in run.stderr
    assert not run.experiment_dir.exists()


def test_an_unknown_pruner_is_an_error_that_lists_those_there_are(hpo_in_process: Callable[..., Run]) -> None:
    run = hpo_in_process(*SMALL, "pruner=halving")

    assert run.status == 2
    for name in ("asha", "hyperband", "median", "none", "patient", "percentile", "threshold"):
        assert name in run.stderr
    assert not run.experiment_dir.exists()
