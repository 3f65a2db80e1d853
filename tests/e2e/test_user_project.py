"""A user's project with its own models, data, steps and tasks, run from its own directory by the real command."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
import torch

from hpo.paths import TrialPaths
from tests.e2e.conftest import TIMEOUT_S, Run, environment, run_hpo_in_process
from tests.projects import SIGNALS, copied

NUM_CLASSES = 4

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def signals(tmp_path: Path) -> Path:
    """The project, where the command of these tests runs."""
    return copied(SIGNALS, tmp_path)


def trials_of(run: Run) -> list[TrialPaths]:
    return [TrialPaths(run.paths.root / trial_id) for (trial_id,) in run.trials("trial_id")]


def records(trial: TrialPaths) -> list[dict[str, float]]:
    read: list[dict[str, float]] = json.loads(trial.results.read_text())
    return read


def check(run: Run, num_trials: int) -> None:
    """All trials completed; the directory and both databases are whole, and agree."""
    assert run.status == 0, run.stderr
    assert run.stderr == ""
    paths = run.paths
    for database in (paths.study_db, paths.state_db):
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    study = optuna.load_study(study_name=paths.experiment_id, storage=f"sqlite:///{paths.study_db}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * num_trials
    rows = run.trials("state, params, metrics")
    objective = next(iter(json.loads(read_state(run, "SELECT config FROM experiments"))["optim_metrics"]))
    for frozen, (state, params, metrics) in zip(study.trials, rows, strict=True):
        assert (state, json.loads(params)) == ("COMPLETE", frozen.params)
        assert json.loads(metrics)[objective] == pytest.approx(frozen.value)
    assert len(trials_of(run)) == num_trials
    for trial in trials_of(run):
        assert {path.name for path in trial.root.iterdir()} == {
            *("best_checkpoints", "checkpoints", "dashboard"),
            *("config.yaml", "metadata.json", "results.json", "train.log"),
        }
        assert json.loads(trial.metadata.read_text())["outcome"]["state"] == "COMPLETE"
        assert records(trial)
    assert not [path for path in run.experiment_dir.parent.iterdir() if path.name in ("outputs", "multirun")]


def read_state(run: Run, query: str) -> str:
    with closing(sqlite3.connect(run.paths.state_db)) as connection:
        (value,) = connection.execute(query).fetchone()
    return str(value)


def test_a_cnn_learns_from_augmented_images_with_its_own_step_metric_and_scheduler(
    hpo: Callable[..., Run],
) -> None:
    run = hpo("+experiment=shapes", "--multirun")
    check(run, 3)
    best = max(json.loads(metrics)["val_worst_class"] for (metrics,) in run.trials("metrics"))
    assert best > 2 / NUM_CLASSES
    for trial in trials_of(run):
        last = records(trial)[-1]
        assert last["val_accuracy"] >= last["val_worst_class"]
        assert last["val_magnitude"] > 0
        # 60 steps, of which the scheduler has held the learning rate for 20
        (checkpoint,) = trial.checkpoints.iterdir()
        lr = torch.load(checkpoint, map_location="cpu")["run_config"]["optimizer_config"]["lr"]
        assert last["learning_rate"] == pytest.approx(lr * (60 / 20) ** -0.5)


def test_a_network_with_two_inputs_and_a_loss_of_its_own_learns_from_a_table(
    hpo_in_process: Callable[..., Run],
) -> None:
    run = hpo_in_process("+experiment=measurements", "--multirun", "duplicates=run", "hydra/launcher=in_process")
    check(run, 3)
    for trial in trials_of(run):
        first, last = records(trial)[0], records(trial)[-1]
        assert last["val_error"] < first["val_error"] / 2


def test_a_step_with_two_optimizers_trains_two_networks_against_each_other(
    hpo_in_process: Callable[..., Run],
) -> None:
    run = hpo_in_process("+experiment=cloud", "--multirun", "hydra/launcher=basic")
    check(run, 2)
    for trial in trials_of(run):
        assert min(record["val_distance"] for record in records(trial)) < records(trial)[0]["val_distance"] / 2
        assert records(trial)[-1]["train_critic_loss"] > 0
        (checkpoint,) = trial.checkpoints.iterdir()
        state = torch.load(checkpoint, map_location="cpu")
        assert len(state["optimizer"]) == 2
        assert {name.split(".")[0] for name in state["model"]} == {"generator", "critic"}


def test_a_task_without_torch_reports_saves_and_goes_on_from_what_it_saved(
    hpo: Callable[..., Run], signals: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pinned = ("task.scale=2.0", "task.penalty=0.01", "total_trials=1")
    whole = hpo("+experiment=ridge", "--multirun", *pinned)
    check(whole, 1)
    errors = [record["val_error"] for record in records(trials_of(whole)[0])]
    assert len(errors) == 5
    assert errors[-1] < 0.1

    fewer = ("task.num_rounds=2", "hydra/launcher=basic")
    half = run_hpo_in_process(copied(SIGNALS, signals / "half"), capfd, "+experiment=ridge", "-m", *pinned, *fewer)
    check(half, 1)
    (trial,) = trials_of(half)
    code = f"""
import json
from pathlib import Path
from omegaconf import OmegaConf
from hpo.paths import TrialPaths
from hpo.trial.handle import TrialHandle
from hpo.trial.link import NullLink
from hpo.trial.metadata import Metadata
from signals.tasks import fit_ridge

paths = TrialPaths(Path({str(trial.root)!r}))
class Told(list):
    log = list.append
trial = TrialHandle(OmegaConf.load(paths.config), paths, Metadata.of(paths), NullLink())
trial.recorders = [told := Told()]
fit_ridge(trial, scale=2.0, penalty=0.01, num_rounds=5, features_per_round=10)
print(json.dumps(told))
"""
    resumed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=signals,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert resumed.returncode == 0, resumed.stderr
    told = json.loads(resumed.stdout)
    assert [record["current_iteration"] for record in told] == [3, 4, 5]
    assert [record["val_error"] for record in told] == errors[2:]


def test_a_task_that_runs_another_program_is_searched_by_what_it_prints(hpo: Callable[..., Run]) -> None:
    run = hpo("+experiment=ball", "--multirun")
    check(run, 4)
    for params, metrics in run.trials("params, metrics"):
        angle, distance = json.loads(params)["task.angle"], json.loads(metrics)["distance"]
        assert distance == pytest.approx(10.0**2 / 9.81 * math.sin(math.radians(2 * angle)), rel=0.01, abs=0.02)
