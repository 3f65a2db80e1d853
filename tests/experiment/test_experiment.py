"""The experiment object: what it makes, fixes and keeps."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig

from hpo.errors import ObjectiveError
from hpo.experiment.experiment import Experiment
from hpo.experiment.identity import config_hash
from hpo.overrides import encode
from hpo.records import DataSource, Ended, Report, Started, State, TrialSpec
from hpo.targets import allowed_targets
from tests.conftest import new_experiment
from tests.experiment.conftest import query

Make = Callable[..., DictConfig]
Open = Callable[..., Experiment]

SPEC = TrialSpec(7, params={"task.x": 0.5, "kind": None})


class WithTest:
    """A data module that holds test data back and has something to say."""

    def source(self) -> DataSource:
        return DataSource("digits", "ff" * 32, has_test=True, warning="these are not MNIST's images")


@pytest.fixture
def open_one(quadratic: Make) -> Iterator[Open]:
    opened = []

    def make(**values: Any) -> Experiment:
        opened.append(new_experiment(quadratic(**values)))
        return opened[-1]

    yield make
    for experiment in opened:
        experiment.close(State.COMPLETE)


def test_the_overall_configuration_is_on_disk_with_what_was_fixed(open_one: Open, quadratic: Make) -> None:
    experiment = open_one(notes="postgres://ann:hunter2@db/x", threads_per_trial="auto", concurrent_trials=1)

    written = yaml.safe_load(experiment.paths.config.read_text())

    assert written["experiment_id"] == experiment.paths.experiment_id
    assert written["config_hash"] == config_hash(quadratic())
    assert written["search_space"] == {"task.x": "interval(-5.0, 5.0)", "task.y": "interval(-5.0, 5.0)"}
    assert written["threads_per_trial"] == len(os.sched_getaffinity(0))
    assert written["notes"] == "postgres://ann@db/x"
    assert "hydra" not in written


def test_what_was_fixed_reaches_every_trial_as_overrides(open_one: Open, tmp_path: Path) -> None:
    experiment = open_one(experiment_id="mine")

    digest = query(experiment, "SELECT config_hash FROM experiments")[0][0]
    assert set(experiment.fixed_overrides()) == {
        f"hydra.sweep.dir={experiment.paths.root}",
        *(
            f"++{override}"
            for override in encode(
                {
                    "threads_per_trial": 1,
                    "experiment_dir": str(tmp_path / "experiments"),
                    "experiment_id": "mine",
                    "config_hash": digest,
                }
            )
        ),
    }


def test_a_secret_of_the_environment_is_in_no_file(
    open_one: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    experiment = open_one(notes="${oc.env:TOKEN}")
    experiment.prepare(SPEC)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not [path for path in files if b"hunter2" in path.read_bytes()]


def test_a_trial_is_prepared_with_its_folders_its_metadata_and_its_row(open_one: Open) -> None:
    experiment = open_one()

    spec = experiment.prepare(SPEC)

    paths = experiment.trial(7)
    assert paths.root.name == spec.subdir
    assert str(spec.subdir).startswith("0007_")
    assert {path.name for path in paths.root.iterdir()} == {
        path.name for path in (paths.best_checkpoints, paths.checkpoints, paths.dashboard, paths.metadata)
    }
    metadata = json.loads(paths.metadata.read_text())
    assert metadata["params"] == {"task.x": 0.5, "kind": None}
    assert (metadata["number"], metadata["attempt"], metadata["random_seed"]) == (7, 1, 42)
    assert metadata["packages"]["optuna"]
    assert "git_diff" not in metadata
    assert query(experiment, "SELECT number, state, trial_id FROM trials") == [(7, "WAITING", spec.subdir)]


def test_a_trials_life_is_in_the_database_and_in_the_log(
    open_one: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = open_one()
    experiment.prepare(SPEC)

    experiment.record(Started(7, pid=5, host="h", device="cpu", config="{}"))
    experiment.record(Report(7, 1, {"loss": 2.0}))
    experiment.record(Ended(7, State.COMPLETE, {"loss": 2.0}))

    assert query(experiment, "SELECT state, metrics FROM trials") == [("COMPLETE", '{"loss": 2.0}')]
    assert query(experiment, "SELECT step, metrics FROM reports") == [(1, '{"loss": 2.0}')]
    log = experiment.paths.log.read_text()
    assert "started on cpu (pid 5): task.x=0.5 kind=null | 1 running, 0 waiting" in log
    assert "COMPLETE after 0.0 s: loss=2 | 0 running, 0 waiting, 1 complete" in log
    assert len(capsys.readouterr().out.splitlines()) == len(log.splitlines()) == 3


def test_reports_wait_to_be_written_together_and_are_never_lost(open_one: Open) -> None:
    experiment = open_one()
    experiment.prepare(SPEC)
    for step in range(1, 51):
        experiment.record(Report(7, step, {"loss": float(step)}))

    experiment.flush()

    assert query(experiment, "SELECT COUNT(*), MAX(step) FROM reports") == [(50, 50)]


def test_a_report_or_an_end_without_an_objective_is_an_error_and_a_failure_is_none(open_one: Open) -> None:
    experiment = open_one()
    experiment.prepare(SPEC)

    with pytest.raises(ObjectiveError, match="names loss"):
        experiment.record(Report(7, 1, {"f1": 1.0}))
    with pytest.raises(ObjectiveError, match="there are: none"):
        experiment.record(Ended(7, State.COMPLETE))
    experiment.record(Ended(7, State.FAIL, reason="no"))


def test_trials_that_run_when_it_closes_get_its_state_and_reason(quadratic: Make) -> None:
    experiment = new_experiment(quadratic(verbose="silent"))
    experiment.prepare(SPEC)
    experiment.prepare(TrialSpec(8))
    experiment.record(Ended(8, State.COMPLETE, {"loss": 1.0}))

    experiment.close(State.WAITING, "interrupted by KeyboardInterrupt")

    assert query(experiment, "SELECT state, reason FROM trials ORDER BY number") == [
        ("WAITING", "interrupted by KeyboardInterrupt"),
        ("COMPLETE", None),
    ]
    assert query(experiment, "SELECT state, ended_at IS NOT NULL FROM experiments") == [("WAITING", 1)]
    last = experiment.paths.log.read_text().splitlines()[-1]
    assert "WAITING (interrupted by KeyboardInterrupt). 0 running, 1 waiting, 1 complete" in last


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project that allows this module's own targets."""
    (tmp_path / "pyproject.toml").write_text('[tool.hpo]\nallow_targets = ["tests.experiment.*"]\n')
    monkeypatch.chdir(tmp_path)
    allowed_targets.cache_clear()
    yield
    allowed_targets.cache_clear()


@pytest.mark.usefixtures("declared")
def test_the_data_source_is_fixed_once_and_its_warning_is_loud(
    open_one: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = open_one(
        data_config={"_target_": f"{__name__}.WithTest"},
        test_task={"_target_": "hpo.tasks.noop", "x": 0.0, "y": 0.0},
    )
    experiment.prepare(SPEC)

    assert experiment.has_test
    assert "WARNING: these are not MNIST's images" in capsys.readouterr().out
    assert "WARNING: these are not MNIST's images" in experiment.paths.log.read_text()
    assert "WARNING: these are not MNIST's images" in experiment.progress.summary()
    assert query(experiment, "SELECT data_source, data_digest FROM experiments") == [("digits", "ff" * 32)]
    assert query(experiment, "SELECT data_source FROM trials") == [("digits",)]
    assert json.loads(experiment.trial(7).metadata.read_text())["data_source"] == "digits"
    assert {"++data_source=digits", f"++data_digest={'ff' * 32}"} <= {
        override.replace("'", "") for override in experiment.fixed_overrides()
    }


def test_what_the_best_trial_reached_on_the_test_data_is_kept(open_one: Open) -> None:
    experiment = open_one()
    experiment.prepare(SPEC)
    experiment.record(Ended(7, State.COMPLETE, {"loss": 2.0}))

    experiment.record_test(Ended(7, State.COMPLETE, {"test_loss": 3.0}))

    assert query(experiment, "SELECT metrics, test_metrics FROM trials") == [
        ('{"loss": 2.0}', '{"test_loss": 3.0}')
    ]
    assert "on the test data: test_loss=3" in experiment.progress.summary()
