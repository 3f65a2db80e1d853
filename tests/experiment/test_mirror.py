"""What readers see of a database that a server has."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from omegaconf import DictConfig

from hpo.experiment import mirror
from hpo.experiment.experiment import Experiment
from hpo.records import Ended, Report, Started, State, TrialSpec
from hpo.saved import SavedExperiment
from hpo.stored import readable, staleness
from tests.conftest import new_experiment
from tests.postgresql import Server

Quadratic = Callable[..., DictConfig]


@pytest.fixture
def experiment(quadratic: Quadratic, database: str, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """Two trials, one of them over."""
    monkeypatch.setattr(mirror, "_PERIOD_S", 0.0)
    monkeypatch.setattr(mirror, "_MAX_SHARE", 1e9)
    experiment = new_experiment(quadratic(state_db=database))
    for number in range(2):
        experiment.prepare(TrialSpec(number, params={"task.x": float(number)}))
        experiment.record(Started(number, 1, "host", "cpu"))
    experiment.record(Report(0, 1, {"loss": 1.0}))
    experiment.record(Ended(0, State.COMPLETE, {"loss": 1.0}))
    return experiment


def states(saved: SavedExperiment) -> list[str]:
    return [trial.state.name for trial in saved.trials]


def test_a_reader_sees_each_change_and_only_its_own_experiment(
    experiment: Experiment, quadratic: Quadratic, database: str
) -> None:
    other = new_experiment(quadratic(state_db=database, random_seed=7))
    other.prepare(TrialSpec(0, params={"task.x": 9.0}))
    saved = SavedExperiment.open(experiment.paths.root)
    assert not experiment.paths.state_db.exists()
    assert states(saved) == ["COMPLETE", "RUNNING"]
    assert saved.trials[0].params == {"task.x": 0.0}

    experiment.record(Ended(1, State.FAIL, reason="planted"))

    assert states(saved) == ["COMPLETE", "FAIL"]
    assert saved.trials[1].reason == "planted"
    experiment.close(State.COMPLETE)
    assert saved.state is State.COMPLETE
    with closing(sqlite3.connect(readable(experiment.paths.state_db))) as connection:
        assert connection.execute("SELECT COUNT(*) FROM experiments").fetchone() == (1,)
        assert connection.execute("SELECT number, step FROM reports").fetchall() == [(0, 1)]
    other.close(State.FAIL)


def test_without_a_change_the_copy_stays_as_it_is(experiment: Experiment) -> None:
    first = readable(experiment.paths.state_db)
    seen = first.stat().st_mtime_ns

    assert readable(experiment.paths.state_db) == first
    assert first.stat().st_mtime_ns == seen
    experiment.close(State.COMPLETE)


def test_where_the_server_is_gone_the_copy_is_shown_with_its_time(
    experiment: Experiment, postgresql: Server
) -> None:
    saved = SavedExperiment.open(experiment.paths.root)
    assert staleness(experiment.paths.state_db) is None
    experiment.close(State.COMPLETE)
    before = states(saved)
    postgresql.stop()
    try:
        assert states(saved) == before
        told = staleness(experiment.paths.state_db)
    finally:
        postgresql.start()
    assert told is not None
    assert "what is shown was there at" in told
    assert staleness(experiment.paths.state_db) is None


def test_where_there_is_no_copy_either_that_is_told(
    experiment: Experiment, postgresql: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    experiment.close(State.COMPLETE)
    monkeypatch.setenv("HPO_CACHE_DIR", str(tmp_path / "empty"))
    postgresql.stop()
    try:
        with pytest.raises(sqlite3.OperationalError, match=r"state_db=postgresql.*"):
            readable(experiment.paths.state_db)
    finally:
        postgresql.start()
