"""hpo's trials under sweepers that know nothing of experiments."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def _run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hpo", *arguments, f"experiment_dir={directory}", "--multirun"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=300)


def _the_experiment(directory: Path) -> Path:
    (experiment,) = directory.glob("experiment_*")
    return experiment


def _rows(database: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def _database(experiment: Path, kind: str) -> Path:
    (database,) = experiment.glob(f"*_{kind}.db")
    return database


@pytest.mark.parametrize("launcher", ["local", "in_process"])
def test_the_stock_sweeper_leaves_a_whole_experiment(tmp_path: Path, launcher: str) -> None:
    done = _run(
        tmp_path,
        "+experiment=quadratic",
        "hydra/sweeper=optuna",
        f"hydra/launcher={launcher}",
        "total_trials=5",
        "name='a, b'",
    )
    assert done.returncode == 0, done.stderr
    assert "5 complete" in done.stdout
    experiment = _the_experiment(tmp_path)
    states = _rows(
        _database(experiment, "state"),
        "SELECT number, state, metrics, started_at, ended_at FROM trials ORDER BY number",
    )
    assert [(row[0], row[1]) for row in states] == [(number, "COMPLETE") for number in range(5)]
    assert all(value is not None for row in states for value in row)
    assert _rows(_database(experiment, "state"), "SELECT name, state FROM experiments") == [("a, b", "COMPLETE")]
    study = _database(experiment, "optuna")
    assert _rows(study, "SELECT number, state FROM trials") == [(number, "COMPLETE") for number in range(5)]
    assert _rows(study, "PRAGMA journal_mode") == [("wal",)]
    trials = sorted(path.name for path in experiment.iterdir() if path.is_dir())
    assert [name[:4] for name in trials] == [f"{number:04d}" for number in range(5)]
    assert not (tmp_path / "multirun").exists()


def test_trials_that_all_fail_are_kept_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def fail(trial, x, y):\n    raise ValueError('no')\n")
    (tmp_path / "pyproject.toml").write_text('[tool.hpo]\nallow_targets = ["mine.*"]\n')
    done = _run(
        tmp_path,
        "+experiment=quadratic",
        "hydra/sweeper=optuna",
        "hydra/launcher=local",
        "total_trials=3",
        "task._target_=mine.fail",
    )
    assert done.returncode == 1, done.stderr
    assert "0 complete, 3 failed" in done.stdout
    assert "Traceback" not in done.stderr
    experiment = _the_experiment(tmp_path)
    assert _rows(_database(experiment, "state"), "SELECT state FROM trials") == [("FAIL",)] * 3
    assert _rows(_database(experiment, "state"), "SELECT state FROM experiments") == [("FAIL",)]
    assert _rows(_database(experiment, "optuna"), "SELECT state FROM trials") == [("FAIL",)] * 3


def test_what_would_make_every_trial_fail_is_told_before_the_first_one(tmp_path: Path) -> None:
    done = _run(tmp_path, "+experiment=quadratic", "hydra/sweeper=optuna", "task._target_=hpo.no_such_task")
    assert done.returncode == 2
    assert done.stderr.startswith("hpo: task: ")
    assert "no_such_task" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_hydras_own_sweeper_runs_the_values_of_the_command_line(tmp_path: Path) -> None:
    done = _run(tmp_path, "+experiment=quadratic", "hydra/sweeper=basic", "task.x=1,2,0.5")
    assert done.returncode == 0, done.stderr
    state = _database(_the_experiment(tmp_path), "state")
    assert _rows(state, "SELECT params FROM trials ORDER BY number") == [
        ('{"task.x": 1}',),
        ('{"task.x": 2}',),
        ('{"task.x": 0.5}',),
    ]
