"""Without --multirun, in this process; InlineStream below it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from omegaconf import DictConfig

from hpo.errors import ConfigError, ObjectiveError
from hpo.paths import ExperimentPaths
from hpo.search.single import run_single

Make = Callable[..., DictConfig]


def the_experiment(tmp_path: Path) -> ExperimentPaths:
    (root,) = (tmp_path / "experiments").iterdir()
    return ExperimentPaths.of(root)


def test_one_trial_with_the_configured_values_lands_in_the_same_layout(
    quadratic: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_single(quadratic(**{"task.x": 1.0}))

    paths = the_experiment(tmp_path)
    (trial_dir,) = (path for path in paths.root.iterdir() if path.is_dir())
    assert {path.name for path in paths.root.iterdir()} == {
        paths.study_db.name,
        paths.state_db.name,
        paths.config.name,
        paths.best_trial.name,
        paths.log.name,
        trial_dir.name,
    }
    trial = paths.trial(trial_dir.name)
    assert {path.name for path in trial_dir.iterdir()} == {
        path.name
        for path in (
            *(trial.best_checkpoints, trial.checkpoints, trial.dashboard),
            *(trial.config, trial.metadata, trial.results, trial.log),
        )
    }
    assert yaml.safe_load(trial.config.read_text())["task"]["x"] == 1.0
    assert json.loads(trial.results.read_text())[0]["loss"] == 2.0
    printed = capsys.readouterr().out
    assert "COMPLETE" in printed
    assert f"best trial by loss: {trial_dir.name}" in printed
    assert "loss = 2" in printed
    assert str(trial_dir) in printed


def test_its_study_and_state_database_hold_that_one_trial(quadratic: Make, tmp_path: Path) -> None:
    run_single(quadratic(verbose="silent"))

    paths = the_experiment(tmp_path)
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{paths.study_db}")
    assert [(trial.value, trial.params) for trial in study.trials] == [(5.0, {})]
    study._storage._backend.engine.dispose()  # type: ignore[attr-defined]
    with sqlite3.connect(paths.state_db) as connection:
        assert connection.execute("SELECT number, state, params FROM trials").fetchall() == [(0, "COMPLETE", "{}")]
        assert connection.execute("SELECT state, search_space FROM experiments").fetchall() == [("COMPLETE", "{}")]
    connection.close()


def test_a_trial_that_fails_leaves_its_traceback_and_exit_status_1(
    quadratic: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_single(quadratic(**{"task.x": "abc"}))

    assert caught.value.code == 1
    paths = the_experiment(tmp_path)
    (trial_dir,) = (path for path in paths.root.iterdir() if path.is_dir())
    assert "Traceback" in paths.trial(trial_dir.name).log.read_text()
    assert "Traceback" in capsys.readouterr().out, "a single trial shows what train.log says"
    (line,) = (line for line in paths.log.read_text().splitlines() if " FAIL after" in line)
    assert "TypeError: unsupported operand" in line


def test_a_missing_objective_ends_it_and_the_experiment_is_marked_as_failed(
    quadratic: Make, tmp_path: Path
) -> None:
    from hpo.config import Direction

    with pytest.raises(ObjectiveError, match="names f1, which no evaluation produces; there are: loss"):
        run_single(quadratic(verbose="silent", optim_metrics={"f1": Direction.max}))

    paths = the_experiment(tmp_path)
    with sqlite3.connect(paths.state_db) as connection:
        assert connection.execute("SELECT state FROM experiments").fetchall() == [("FAIL",)]
        assert connection.execute("SELECT state FROM trials").fetchall() == [("FAIL",)]
    connection.close()
    assert "optim_metrics names f1" in paths.log.read_text().splitlines()[-1]


@pytest.mark.parametrize("values", [{"total_trials": 0}, {"experiment_id": "a/b"}, {"device": "gpu"}])
def test_bad_input_raises_before_anything_is_on_disk(quadratic: Make, tmp_path: Path, values: Any) -> None:
    with pytest.raises(ConfigError):
        run_single(quadratic(**values))

    assert not (tmp_path / "experiments").exists()


def test_silent_shows_the_summary_alone(quadratic: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run_single(quadratic(verbose="silent"))

    assert capsys.readouterr().out.startswith("\nexperiment ")


def test_a_dry_run_describes_and_writes_nothing(
    quadratic: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_single(quadratic(dry_run=True))

    printed = capsys.readouterr().out
    assert "first 1 of 1 trials" in printed
    assert "0: the configured values" in printed
    assert not (tmp_path / "experiments").exists()
