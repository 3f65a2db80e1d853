"""Runs as MLflow's own client reads them, from a database on disk."""

from __future__ import annotations

import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo.recording.mlflow_run import MlflowRun

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'hpo[mlflow]'")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

INFINITE = 1e308


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    """A database with MLflow's tables, which take it most of a second."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(tmp_path, empty) -> str:
    shutil.copy(empty, tmp_path)
    return f"sqlite:///{tmp_path / empty.name}"


@pytest.fixture
def info(info):
    return replace(info, config={**info.config, "experiment_id": "1901_aa90"})


def runs(uri: str, experiment: str = "mnist") -> list[Any]:
    client = mlflow.MlflowClient(tracking_uri=uri)
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def history(uri: str, run: Any, metric: str) -> list[tuple[int, float]]:
    points = mlflow.MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, metric)
    return [(point.step, point.value) for point in points]


def test_a_run_has_the_name_tags_notes_and_params_of_its_trial(info, uri):
    MlflowRun(info, uri).close({"val_loss": 1.48})
    (run,) = runs(uri)
    assert run.info.run_name == "0003_1f3a"
    assert run.data.params == {name: str(value) for name, value in info.params.items()}
    tags = run.data.tags
    assert (tags["hpo.name"], tags["hpo.experiment_id"]) == ("mnist", "1901_aa90")
    assert (tags["hpo.tag.tutorial"], tags["hpo.tag.cpu"]) == ("true", "true")
    assert tags["mlflow.note.content"] == "How wide?"


def test_records_are_metrics_at_their_iteration(info, uri, records):
    recorder = MlflowRun(info, uri)
    for record in records:
        recorder.log(record)
    recorder.close({"val_loss": 1.48, "best_iteration": 3750})
    (run,) = runs(uri)
    assert history(uri, run, "train_loss") == [(1875, 4.23), (3750, 1.59), (5625, 1.42)]
    assert history(uri, run, "val_loss") == [(3750, 1.48), (5625, 1.67)]
    assert history(uri, run, "best_loss")[0][1] > INFINITE
    assert history(uri, run, "final/val_loss") == [(3750, 1.48)]


@pytest.mark.parametrize(("metrics", "status"), [({"val_loss": 1.0}, "FINISHED"), ({}, "FAILED")])
def test_a_trial_without_metrics_at_its_end_has_failed(info, uri, metrics, status):
    MlflowRun(info, uri).close(metrics)
    assert [run.info.status for run in runs(uri)] == [status]


def test_a_second_attempt_continues_the_run_of_the_first(info, uri, records):
    MlflowRun(info, uri).log(records[0])
    second = MlflowRun(info, uri)
    second.log(records[1])
    second.close({"val_loss": 1.48})
    (run,) = runs(uri)
    assert [step for step, _ in history(uri, run, "train_loss")] == [1875, 3750]
    assert run.info.status == "FINISHED"


def test_a_trial_of_another_experiment_is_another_run(info, uri):
    MlflowRun(info, uri).close({})
    MlflowRun(replace(info, config={**info.config, "experiment_id": "1901_bb12"}), uri).close({})
    assert len(runs(uri)) == 2


def test_the_experiment_can_be_given_and_has_a_name_without_one(info, uri):
    MlflowRun(info, uri, experiment="given").close({})
    MlflowRun(replace(info, config={}), uri).close({})
    assert (len(runs(uri, "given")), len(runs(uri, "hpo"))) == (1, 1)


def test_a_record_that_mlflow_does_not_take_is_told_and_does_not_end_the_trial(info, uri, caplog):
    recorder = MlflowRun(info, uri)
    recorder.log({"f1@5": 0.5, "current_iteration": 10})
    recorder.log({"f1": 0.5, "current_iteration": 20})
    recorder.close({"f1": 0.5})
    assert "mlflow did not take the record of step 10" in caplog.text
    (run,) = runs(uri)
    assert history(uri, run, "f1") == [(20, 0.5)]


def record_one(info: Any, uri: str) -> None:
    recorder = MlflowRun(info, uri)
    recorder.log({"loss": 1.0, "current_iteration": 1})
    recorder.close({"loss": 1.0})


def test_trials_that_start_together_share_one_database(info, tmp_path):
    uri = f"sqlite:///{tmp_path}/new.db"
    context = multiprocessing.get_context("spawn")
    trials = [replace(info, trial_id=f"{number:04d}_1f3a") for number in range(2)]
    processes = [context.Process(target=record_one, args=(trial, uri)) for trial in trials]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(run.info.run_name for run in runs(uri)) == [trial.trial_id for trial in trials]
