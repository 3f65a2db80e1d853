"""The main job, on a small budget: every file that it leaves, read with the tool that users have for it."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pandas as pd
import pytest
import sqlalchemy as sa
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from hpo.paths import TrialPaths
from tests.e2e.conftest import Run, run_hpo

NUM_TRIALS, NUM_EPOCHS, KEEP_N = 3, 3, 2
RECORD_KEYS = [
    *("train_loss", "val_loss", "train_accuracy", "val_accuracy", "best_iteration", "best_loss"),
    *("current_epoch", "current_iteration", "epochs", "learning_rate", "total_steps"),
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`+experiment=mnist` without MNIST's files, so that it falls back to scikit-learn's digits."""
    return run_hpo(
        tmp_path_factory.mktemp("mnist"),
        *(
            "+experiment=mnist",
            "--multirun",
            "data_config.root=nowhere",
            "data_config.download=false",
            f"total_trials={NUM_TRIALS}",
        ),
        *(f"train_config.epochs={NUM_EPOCHS}", f"keep_n_checkpoints={KEEP_N}", "log_epoch=0.5"),
        "model_config.hidden_size=int(interval(8, 32))",
    )


@pytest.fixture(scope="module")
def trials(mnist: Run) -> list[TrialPaths]:
    return [TrialPaths(path) for path in sorted(mnist.paths.root.iterdir()) if path.is_dir()]


def test_it_ends_with_the_best_trial_and_no_error(mnist: Run) -> None:
    assert mnist.status == 0, mnist.stderr
    best = min(mnist.trials("json_extract(metrics, '$.val_loss'), trial_id"))
    assert f"best trial by val_loss: {best[1]}" in mnist.stdout
    assert f"{NUM_TRIALS} complete, 0 failed, 0 pruned" in mnist.stdout
    assert mnist.stderr == ""


def test_the_directories_are_those_of_the_design_and_nothing_else(mnist: Run, trials: list[TrialPaths]) -> None:
    paths = mnist.paths
    assert len(trials) == NUM_TRIALS
    files = {path.name for path in paths.root.iterdir() if path.is_file()}
    name = paths.experiment_id
    assert files == {f"{name}_optuna.db", f"{name}_state.db", "default_config.yaml", "best_trial.yaml", "mp.log"}
    for trial in trials:
        assert {path.name for path in trial.root.iterdir()} == {
            *("best_checkpoints", "checkpoints", "dashboard"),
            *("config.yaml", "metadata.json", "results.json", "train.log"),
        }
    assert {path.name for path in mnist.experiment_dir.parent.iterdir()} == {"experiments"}


def test_pandas_reads_results_json_with_its_keys_in_their_order(trials: list[TrialPaths]) -> None:
    for trial in trials:
        results = pd.read_json(trial.results)
        assert list(results.columns) == RECORD_KEYS
        assert len(results) == 2 * NUM_EPOCHS
        evaluated = results[results.val_loss.notna()]
        assert len(evaluated) == NUM_EPOCHS
        assert (evaluated.best_loss == evaluated.val_loss.cummin()).all()
        assert results.current_iteration.iloc[-1] == results.total_steps.iloc[-1]
        assert math.isinf(json.loads(trial.results.read_text())[0]["best_loss"])


def test_tensorboard_has_the_scalars_the_config_and_the_hyperparameters(trials: list[TrialPaths]) -> None:
    for trial in trials:
        events = EventAccumulator(str(trial.dashboard))
        events.Reload()
        results = pd.read_json(trial.results)
        assert set(RECORD_KEYS) <= set(events.Tags()["scalars"])
        losses = [(event.step, event.value) for event in events.Scalars("val_loss")]
        evaluated = results[results.val_loss.notna()]
        assert losses == [
            (step, pytest.approx(loss))
            for step, loss in zip(evaluated.current_iteration, evaluated.val_loss, strict=True)
        ]
        text = events.Tensors("config")[0].tensor_proto.string_val[0].decode()
        assert "hidden_size" in text
        metadata = events.SummaryMetadata("_hparams_/session_start_info")
        start = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info
        assert set(start.hparams) == {"model_config.hidden_size", "optimizer_config.lr"}


def test_a_checkpoint_opens_with_torch_load_as_it_comes(trials: list[TrialPaths]) -> None:
    for trial in trials:
        newest = sorted(trial.checkpoints.iterdir(), key=lambda path: path.stat().st_mtime)
        assert len(newest) == KEEP_N
        (best,) = trial.best_checkpoints.iterdir()
        last = torch.load(newest[-1], map_location="cpu")
        state = torch.load(best, map_location="cpu")
        results = pd.read_json(trial.results)
        config = yaml.safe_load(trial.config.read_text())
        assert last["current_iteration"] == results.current_iteration.iloc[-1]
        assert state["current_iteration"] == results.best_iteration.iloc[-1]
        assert state["run_config"] == config
        assert state["metrics"]["val_loss"] == pytest.approx(results.best_loss.iloc[-1])
        hidden_size = config["model_config"]["hidden_size"]
        assert state["model"]["fc1.weight"].shape == (hidden_size, 784)
        assert state["optimizer"]["param_groups"][0]["lr"] == config["optimizer_config"]["lr"]
        assert config["scheduler_config"] is None
        assert config["optim_metrics"] == {"val_loss": "min"}


def test_optuna_loads_the_study_with_typed_parameters_and_reports(mnist: Run, trials: list[TrialPaths]) -> None:
    paths = mnist.paths
    study = optuna.load_study(study_name=paths.experiment_id, storage=f"sqlite:///{paths.study_db}")
    assert len(study.trials) == NUM_TRIALS
    for frozen, trial in zip(study.trials, trials, strict=True):
        config = yaml.safe_load(trial.config.read_text())
        assert frozen.state is optuna.trial.TrialState.COMPLETE
        assert frozen.params == {
            "model_config.hidden_size": config["model_config"]["hidden_size"],
            "optimizer_config.lr": config["optimizer_config"]["lr"],
        }
        assert type(frozen.params["model_config.hidden_size"]) is int
        results = pd.read_json(trial.results)
        assert frozen.value == pytest.approx(results.best_loss.iloc[-1])
        assert list(frozen.intermediate_values.values()) == pytest.approx(list(results.val_loss.dropna()))
        assert frozen.duration.total_seconds() > 0


def test_the_state_database_holds_text_numbers_and_json_alone(mnist: Run) -> None:
    with closing(sqlite3.connect(mnist.paths.state_db)) as connection:
        for table in ("experiments", "trials", "reports"):
            for row in connection.execute(f"SELECT * FROM {table}"):
                assert not any(isinstance(value, bytes) for value in row)
    engine = sa.create_engine(f"sqlite:///{mnist.paths.state_db}")
    rows = sa.Table("trials", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        for row in connection.execute(sa.select(rows)).mappings():
            config, params = json.loads(row["config"]), json.loads(row["params"])
            assert row["state"] == "COMPLETE"
            assert config["model_config"]["hidden_size"] == params["model_config.hidden_size"]
            assert "val_accuracy" in json.loads(row["metrics"])
            assert row["started_at"] < row["ended_at"]
            assert row["data_source"] == "digits"
        num_reports = connection.execute(sa.text("SELECT COUNT(*) FROM reports")).scalar_one()
    engine.dispose()
    assert num_reports == NUM_TRIALS * NUM_EPOCHS


def test_the_fallback_is_said_in_every_place(mnist: Run, trials: list[TrialPaths]) -> None:
    assert mnist.stdout.count("NOT MNIST") == 2  # at the start, and in the summary
    assert "NOT MNIST" in mnist.paths.log.read_text()
    for trial in trials:
        metadata = json.loads(trial.metadata.read_text())
        assert metadata["data_source"] == "digits"
        assert len(metadata["data_digest"]) == 64


def test_metadata_says_how_far_the_trial_got_and_what_produced_it(trials: list[TrialPaths]) -> None:
    for trial in trials:
        metadata = json.loads(trial.metadata.read_text())
        results = pd.read_json(trial.results)
        assert metadata["log_iteration"] == metadata["checkpoint_iteration"] == results.current_iteration.iloc[-1]
        assert metadata["best_iteration"] == results.best_iteration.iloc[-1]
        assert metadata["outcome"]["state"] == "COMPLETE"
        assert {"command_line", "git_commit", "git_dirty", "packages", "python", "host", "devices"} <= set(
            metadata
        )
        assert {"random_seed", "started_at", "params"} <= set(metadata)
        assert metadata["outcome"]["ended_at"] > metadata["started_at"]


def test_mp_log_tells_each_start_and_end_with_parameters_and_counts(mnist: Run, trials: list[TrialPaths]) -> None:
    lines = mnist.paths.log.read_text().splitlines()
    for trial in trials:
        (started,) = [line for line in lines if f"trial {trial.root.name} started" in line]
        (ended,) = [line for line in lines if f"trial {trial.root.name} COMPLETE" in line]
        assert "model_config.hidden_size=" in started
        assert "running" in started
        assert "waiting" in started
        assert "val_loss=" in ended
        assert "pruned" in ended


def test_two_trials_ran_at_the_same_time_in_processes_of_their_own(mnist: Run) -> None:
    rows = mnist.trials("pid, started_at, ended_at")
    assert len({pid for pid, _, _ in rows}) == NUM_TRIALS
    assert rows[1][1] < rows[0][2]


def test_train_log_has_a_line_for_each_record(trials: list[TrialPaths]) -> None:
    for trial in trials:
        lines = [line for line in trial.log.read_text().splitlines() if "train_loss" in line and "epoch " in line]
        assert len(lines) == 2 * NUM_EPOCHS


def test_default_config_has_the_effective_search_space(mnist: Run) -> None:
    config = yaml.safe_load(Path(mnist.paths.config).read_text())
    assert config["search_space"]["model_config.hidden_size"] == "int(interval(8, 32))"
    assert len(config["config_hash"]) == 64
    assert config["config_hash"].startswith(mnist.paths.experiment_id[:4])
    assert config["threads_per_trial"] == 1
