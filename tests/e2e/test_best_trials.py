"""best_trial.yaml and best_trials.yaml: the command in them trains the same thing again."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpo.paths import ExperimentPaths
from tests.e2e.conftest import TIMEOUT_S, Run, environment, run_hpo_in_process

MNIST = (
    *("+experiment=mnist", "data_config=digits", "train_config.epochs=2", "model_config.hidden_size=8"),
    *(
        "search_space=none",
        "total_trials=3",
        "concurrent_trials=2",
        "notes='it\\'s a, b=$HOME'",
        "tensorboard=false",
    ),
)
SWEEPS = ("optimizer_config.lr=tag(log,interval(1e-4,1e-1))", "model_config.dropout=choice(0.0,0.25)")

pytestmark = pytest.mark.slow


def again(command: str, folder: Path) -> tuple[ExperimentPaths, dict[str, Any]]:
    """Run the command in a shell, into another experiment_dir; its experiment, and its own best_trial.yaml."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        f"{command} experiment_dir={shlex.quote(str(folder / 'again'))}",
        shell=True,
        cwd=folder,
        env={**environment(), "PATH": path},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (root,) = (folder / "again").iterdir()
    paths = ExperimentPaths.of(root)
    return paths, yaml.safe_load(paths.best_trial.read_text())


def results_of(best: dict[str, Any]) -> bytes:
    return (Path(best["directory"]) / "results.json").read_bytes()


def test_the_command_reproduces_the_best_trial_to_the_bit(hpo: Callable[..., Run], tmp_path: Path) -> None:
    run = hpo(*MNIST, "-m", *SWEEPS, "threads_per_trial=auto")
    assert run.status == 0, run.stdout + run.stderr
    best = yaml.safe_load(run.paths.best_trial.read_text())

    assert_reproduced(run, best, *again(best["command"], tmp_path))


@pytest.mark.parametrize(
    ("how", "is_in_process"),
    [
        (("-m", *SWEEPS, "hydra/launcher=basic"), True),
        (("-m", *SWEEPS, "hydra/sweeper=optuna"), False),
        (("-m", "hydra/sweeper=basic", "optimizer_config.lr=1e-2,1e-3", "model_config=lenet5"), False),
        (("optimizer_config.lr=0.01",), True),
    ],
    ids=["in batches", "the stock sweeper", "Hydra's basic sweeper", "a single run"],
)
def test_the_command_reproduces_the_best_trial_of_any_driver_to_the_bit(
    hpo: Callable[..., Run],
    hpo_in_process: Callable[..., Run],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    how: tuple[str, ...],
    is_in_process: bool,
) -> None:
    mnist = [text for text in MNIST if "model_config=lenet5" not in how or "hidden" not in text]
    run = (hpo_in_process if is_in_process else hpo)(*mnist, *how)
    assert run.status == 0, run.stdout + run.stderr
    best = yaml.safe_load(run.paths.best_trial.read_text())

    words = shlex.split(best["command"])
    assert words[:3] == ["python", "-m", "hpo"]
    repeated = run_hpo_in_process(tmp_path, capfd, *words[3:], experiment_dir=tmp_path / "again")

    assert repeated.status == 0, repeated.stdout + repeated.stderr
    assert_reproduced(run, best, repeated.paths, yaml.safe_load(repeated.paths.best_trial.read_text()))


def assert_reproduced(run: Run, best: dict[str, Any], paths: ExperimentPaths, repeated: dict[str, Any]) -> None:
    assert repeated["value"] == best["value"]
    assert repeated["metrics"] == best["metrics"]
    assert results_of(repeated) == results_of(best)
    assert Path(best["checkpoint"]).parent == Path(best["directory"]) / "best_checkpoints"
    assert "--multirun" not in best["command"]
    assert len([path for path in paths.root.iterdir() if path.is_dir()]) == 1
    (metrics,) = [json.loads(text) for number, text in run.trials("number, metrics") if number == best["number"]]
    assert metrics["val_loss"] == best["value"]


def test_keys_that_the_sweep_adds_and_a_folder_of_configuration_are_in_the_command(
    hpo: Callable[..., Run], tmp_path: Path, project: Callable[[str], None]
) -> None:
    project("def run(trial, x=0.0, kind=None):\n    return {'score': x + len(kind)}\n")
    (tmp_path / "more" / "search_space").mkdir(parents=True)
    (tmp_path / "more" / "search_space" / "kinds.yaml").write_text('+task.kind: ["a b", "null", "it\'s, x=$y"]\n')
    run = hpo(
        *("--config-dir", "more", "+experiment=mine", "search_space=kinds", "--multirun", "total_trials=4"),
        "+task.x=interval(0,1)",
    )
    assert run.status == 0, run.stdout + run.stderr
    best = yaml.safe_load(run.paths.best_trial.read_text())

    _, repeated = again(best["command"], tmp_path)

    assert set(best["parameters"]) == {"+task.kind", "+task.x"}
    assert repeated["value"] == best["value"]
    assert best["checkpoint"] is None


def test_several_objectives_leave_the_pareto_set_in_its_three_places(
    hpo: Callable[..., Run], tmp_path: Path, project: Callable[[str], None]
) -> None:
    project("def run(trial, x=0.0):\n    return {'score': min(x, 0.5), 'cost': x}\n")
    run = hpo("+experiment=mine", "-m", "total_trials=8", "+optim_metrics.cost=min", "+task.x=interval(0,1)")
    assert run.status == 0, run.stdout + run.stderr
    best = yaml.safe_load(run.paths.best_trials.read_text())

    trials = {number: json.loads(metrics) for number, metrics in run.trials("number, metrics")}
    over = {number: metrics["cost"] for number, metrics in trials.items() if metrics["cost"] >= 0.5}
    members = {number for number in trials if number not in over} | {min(over, key=lambda number: over[number])}
    assert [entry["number"] for entry in best] == sorted(members)
    assert all(entry["values"].keys() == {"score", "cost"} for entry in best)
    with closing(sqlite3.connect(run.paths.state_db)) as connection:
        ((stored,),) = connection.execute("SELECT best_trials FROM experiments").fetchall()
    assert json.loads(stored) == sorted(members)
    assert f"Pareto set: {len(members)} trial" in run.stdout
    assert not run.paths.best_trial.exists()
