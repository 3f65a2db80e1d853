"""Stock sweepers and launchers, the in-process launcher and no launcher at all: the same directory on disk."""

from __future__ import annotations

import json
from collections.abc import Callable

import optuna
import pytest

from hpo.paths import TrialPaths
from tests.e2e.conftest import Run

NUM_TRIALS = 4
MINIMUM_AT = {"task.x": 2.0, "task.y": -1.0}

pytestmark = pytest.mark.slow


def check(run: Run, num_trials: int) -> optuna.Study:
    """The directory and both databases are complete, and agree."""
    assert run.status == 0, run.stderr
    paths = run.paths
    study = optuna.load_study(study_name=paths.experiment_id, storage=f"sqlite:///{paths.study_db}")
    rows = run.trials("trial_id, state, params, metrics, config, started_at, ended_at")
    assert len(study.trials) == len(rows) == num_trials
    for frozen, (trial_id, state, params, metrics, config, started_at, ended_at) in zip(
        study.trials, rows, strict=True
    ):
        assert state == frozen.state.name == "COMPLETE"
        assert json.loads(params) == frozen.params
        assert json.loads(metrics)["loss"] == pytest.approx(frozen.value)
        task = json.loads(config)["task"]
        assert all(task[key.removeprefix("task.")] == value for key, value in frozen.params.items())
        assert started_at <= ended_at
        trial = TrialPaths(paths.root / trial_id)
        for path in (trial.config, trial.metadata, trial.results, trial.log, trial.checkpoints, trial.dashboard):
            assert path.exists()
        assert json.loads(trial.metadata.read_text())["outcome"]["state"] == "COMPLETE"
    assert paths.config.exists()
    assert paths.log.read_text().count(" COMPLETE after ") == num_trials
    assert "best trial by loss" in run.stdout
    return study


@pytest.mark.parametrize("launcher", ["local", "joblib"])
def test_every_launcher_leaves_the_same_directory(hpo: Callable[..., Run], launcher: str) -> None:
    check_launcher(hpo, launcher)


@pytest.mark.parametrize("launcher", ["in_process", "basic"])
def test_every_launcher_of_one_process_leaves_the_same_directory(
    hpo_in_process: Callable[..., Run], launcher: str
) -> None:
    check_launcher(hpo_in_process, launcher)


def check_launcher(hpo: Callable[..., Run], launcher: str) -> None:
    run = hpo("+experiment=quadratic", "-m", f"total_trials={NUM_TRIALS}", f"hydra/launcher={launcher}")
    study = check(run, NUM_TRIALS)
    assert set(study.trials[0].params) == set(MINIMUM_AT)
    assert len(study.trials[0].intermediate_values) == 1


def test_the_stock_sweeper_takes_sweeps_from_the_command_line(hpo: Callable[..., Run]) -> None:
    run = hpo(
        *("+experiment=quadratic", "-m", "total_trials=2", "task.x=interval(0,1)"),
        *("hydra/sweeper=optuna", "hydra/launcher=in_process"),
    )
    study = check(run, 2)
    assert all(0 <= trial.params["task.x"] <= 1 for trial in study.trials)


def test_without_multirun_one_trial_with_the_configured_values(hpo_in_process: Callable[..., Run]) -> None:
    run = hpo_in_process("+experiment=quadratic", "task.x=1.5")
    study = check(run, 1)
    assert study.trials[0].params == {}
    assert study.trials[0].value == pytest.approx(0.25 + 1.0)


def test_a_plain_value_pins_a_key_and_a_sweep_replaces_one(hpo_in_process: Callable[..., Run]) -> None:
    run = hpo_in_process(
        "+experiment=quadratic",
        "-m",
        "total_trials=3",
        "task.x=2",
        "task.y=choice(-1,0)",
        "duplicates=run",
        "hydra/launcher=basic",
    )
    study = check(run, 3)
    assert "task.x=2: pinned" in run.stdout
    assert {tuple(trial.params) for trial in study.trials} == {("task.y",)}
    assert study.best_value in (0.0, 1.0)


def test_several_objectives_make_a_study_of_several(
    hpo_in_process: Callable[..., Run], project: Callable[[str], None]
) -> None:
    project(
        "def run(trial, x=0.0):\n"
        "    trial.report({'score': x, 'cost': x * x}, step=1)\n"
        "    return {'score': x, 'cost': x * x}\n"
    )
    run = hpo_in_process(
        "+experiment=mine",
        "-m",
        "total_trials=3",
        "+optim_metrics.cost=min",
        "+task.x=interval(0,1)",
        "hydra/launcher=basic",
    )
    assert run.status == 0, run.stderr
    study = optuna.load_study(study_name=run.paths.experiment_id, storage=f"sqlite:///{run.paths.study_db}")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert all(len(trial.values) == 2 for trial in study.trials)
    assert "best trial by score" in run.stdout
    assert "best trial by cost" in run.stdout


@pytest.mark.parametrize("how", [["-m", "hydra/launcher=in_process"], ["-m", "hydra/launcher=basic"], []], ids=str)
def test_training_is_logged_wherever_it_runs(hpo_in_process: Callable[..., Run], how: list[str]) -> None:
    run = hpo_in_process(
        *("+experiment=mnist", "data_config=digits", "train_config.epochs=2", "model_config.hidden_size=8"),
        *("optimizer_config.lr=1e-3", "total_trials=1", *how),
    )
    assert run.status == 0, run.stderr
    ((trial_id,),) = run.trials("trial_id")
    lines = TrialPaths(run.paths.root / trial_id).log.read_text().splitlines()
    assert sum("model MLP with" in line for line in lines) == 1
    assert sum("train_loss" in line and "epoch " in line for line in lines) == 2
    assert ("train_loss" in run.stdout) == (not how), "a single run shows its training"
