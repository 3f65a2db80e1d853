"""The state database, read with plain sqlite3 and pandas."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from hpo.experiment.state_db import StateDB
from hpo.records import Ended, Report, Started, State, TrialSpec

NOON = 1_700_000_000.25  # 2023-11-14 22:13:20.25 UTC

ROW = {
    "name": "n",
    "tags": ["a", "ä"],
    "notes": None,
    "config": {"lr": math.nan, "deep": {"list": [1, None]}},
    "config_hash": "ff" * 32,
    "search_space": {"task.x": "interval(0, 1)"},
    "optim_metrics": {"loss": "min"},
    "random_seed": 42,
    "data_source": None,
    "data_digest": None,
    "packages": {"hpo": "0.1"},
    "devices": ["cpu"],
    "git_dirty": True,
}

Rows = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine_state.db"


@pytest.fixture
def db(path: Path) -> Iterator[StateDB]:
    db = StateDB(path, "mine")
    db.open_experiment(ROW)
    yield db
    db.close_experiment("COMPLETE")


@pytest.fixture
def rows(path: Path) -> Rows:
    """Every row of a table, by a reader that cannot write."""

    def of(table: str) -> list[dict[str, Any]]:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
        finally:
            connection.close()

    return of


def test_the_experiments_row_holds_json_that_any_reader_takes(db: StateDB, rows: Rows) -> None:
    (row,) = rows("experiments")

    assert row["experiment_id"] == "mine"
    assert row["state"] == "RUNNING"
    assert json.loads(row["tags"]) == ["a", "ä"]
    assert json.loads(row["config"]) == {"lr": "nan", "deep": {"list": [1, None]}}
    assert json.loads(row["packages"]) == {"hpo": "0.1"}
    assert row["notes"] is None
    assert row["git_dirty"] == 1
    assert row["ended_at"] is None


def test_a_trial_goes_from_waiting_to_its_end(db: StateDB, rows: Rows) -> None:
    db.add_trial(TrialSpec(3, params={"task.x": 0.5, "kind": None}), "0003_abcd", "digits")
    (waiting,) = rows("trials")
    db.start_trial(Started(3, pid=12, host="here", device="cuda:1", config='{"a": 1}', time=NOON))
    (running,) = rows("trials")
    db.end_trial(Ended(3, State.COMPLETE, {"loss": 0.5, "f1": math.nan}, time=NOON + 2))
    (complete,) = rows("trials")

    assert [row["state"] for row in (waiting, running, complete)] == ["WAITING", "RUNNING", "COMPLETE"]
    assert json.loads(waiting["params"]) == {"task.x": 0.5, "kind": None}
    assert (waiting["started_at"], waiting["pid"], waiting["attempt"]) == (None, None, 1)
    assert running["started_at"].startswith("2023-11-14 22:13:20.25")
    assert (running["pid"], running["host"], running["device"]) == (12, "here", "cuda:1")
    assert complete["ended_at"].startswith("2023-11-14 22:13:22.25")
    assert json.loads(complete["metrics"]) == {"loss": 0.5, "f1": "nan"}
    assert complete["config"] == '{"a": 1}'


def test_an_event_touches_the_row_of_its_own_trial_alone(db: StateDB, rows: Rows) -> None:
    for number in range(3):
        db.add_trial(TrialSpec(number), f"000{number}_abcd", None)
    untouched = rows("trials")[0::2]

    db.end_trial(Ended(1, State.FAIL, reason="ValueError: no", traceback="Traceback (most ...", time=NOON))

    assert rows("trials")[0::2] == untouched
    assert rows("trials")[1]["state"] == "FAIL"
    assert rows("trials")[1]["reason"] == "ValueError: no"
    assert rows("trials")[1]["traceback"] == "Traceback (most ..."


def test_reports_are_kept_in_their_order_with_their_times(db: StateDB, rows: Rows) -> None:
    db.add_reports([Report(0, step, {"loss": 1 / step}, time=NOON + step) for step in (1, 2)])
    db.add_reports([])
    db.add_reports([Report(1, 1, {"loss": math.inf}, time=NOON)])

    table = rows("reports")

    assert [(row["number"], row["step"], json.loads(row["metrics"])["loss"]) for row in table] == [
        (0, 1, 1.0),
        (0, 2, 0.5),
        (1, 1, "inf"),
    ]
    assert table[1]["time"].startswith("2023-11-14 22:13:22.25")


def test_the_test_metrics_stand_beside_the_validation_ones(db: StateDB, rows: Rows) -> None:
    db.add_trial(TrialSpec(0), "0000_abcd", None)
    db.end_trial(Ended(0, State.COMPLETE, {"val_loss": 0.5}))
    db.set_test_metrics(0, {"test_loss": 0.25})

    (row,) = rows("trials")
    assert (json.loads(row["metrics"]), json.loads(row["test_metrics"])) == (
        {"val_loss": 0.5},
        {"test_loss": 0.25},
    )


def test_the_best_trials_are_a_list_of_numbers_from_the_start(db: StateDB, rows: Rows) -> None:
    assert rows("experiments")[0]["best_trials"] == "[]"
    db.set_best_trials([3, 12])
    assert json.loads(rows("experiments")[0]["best_trials"]) == [3, 12]


def test_everything_is_text_numbers_and_times(db: StateDB, path: Path) -> None:
    db.add_trial(TrialSpec(0, params={"x": 1}), "0000_abcd", None)
    db.start_trial(Started(0, pid=1, host="h", device="cpu", config="{}"))
    db.add_reports([Report(0, 1, {"loss": 1.0})])
    db.end_trial(Ended(0, State.COMPLETE, {"loss": 1.0}))

    connection = sqlite3.connect(path)
    for table in ("experiments", "trials", "reports"):
        cursor = connection.execute(f"SELECT * FROM {table}")
        for row in cursor.fetchall():
            assert not any(isinstance(value, bytes) for value in row), table
        declared = {kind for _, _, kind, *_ in connection.execute(f"PRAGMA table_info({table})")}
        assert declared <= {"VARCHAR", "TEXT", "INTEGER", "BOOLEAN", "DATETIME"}, table
    connection.close()


def test_pandas_and_sqlalchemy_read_times_and_numbers_as_such(db: StateDB, path: Path) -> None:
    db.add_trial(TrialSpec(0), "0000_abcd", None)
    db.end_trial(Ended(0, State.COMPLETE, time=NOON))
    engine = sa.create_engine(f"sqlite:///{path}")

    table = pd.read_sql("SELECT * FROM trials", engine, parse_dates=["ended_at"])

    assert table["ended_at"][0] == pd.Timestamp("2023-11-14 22:13:20.25")
    assert table["number"].dtype.kind == "i"
    assert set(sa.inspect(engine).get_table_names()) == {
        *("experiments", "trials", "replicates", "reports", "attempts"),
    }
    engine.dispose()


def test_what_was_written_is_there_for_the_next_reader_while_the_writer_lives(db: StateDB, rows: Rows) -> None:
    db.add_trial(TrialSpec(0), "0000_abcd", None)
    assert len(rows("trials")) == 1

    db.close_experiment("FAIL")
    (row,) = rows("experiments")

    assert row["state"] == "FAIL"
    assert row["ended_at"] is not None


def test_the_end_of_each_attempt_that_is_tried_again_is_kept_once(db: StateDB, rows: Rows) -> None:
    db.add_trial(TrialSpec(0), "0000_aa", None)
    for attempt in (1, 2):
        db.start_trial(Started(0, pid=1, host="h", device="cpu", config="{}", attempt=attempt, time=NOON))
        died = Ended(0, State.FAIL_RECOVERABLE, reason=f"death {attempt}", time=NOON)
        db.end_trial(died)
        db.end_attempt(died)
        db.end_attempt(died)  # heard again after a crash
    db.start_trial(Started(0, pid=1, host="h", device="cpu", config="{}", attempt=3, time=NOON))
    db.end_trial(Ended(0, State.COMPLETE, {"loss": 1.0}, time=NOON))

    assert [(row["number"], row["attempt"], row["reason"]) for row in rows("attempts")] == [
        (0, 1, "death 1"),
        (0, 2, "death 2"),
    ]
    assert rows("trials")[0]["reason"] is None


def test_reports_come_back_as_they_were(db: StateDB) -> None:
    kept = [
        Report(3, 5, {"b": math.nan, "a": math.inf}, NOON),
        Report(3, 6, {"b": 0.1, "a": -math.inf}, NOON),
        Report(3, 1, {"b": 0.25}, NOON, replicate=1),
    ]
    db.add_reports([Report(4, 1, {"b": 1.0}), *reversed(kept)])

    found = db.reports(3)
    assert repr(found) == repr(kept)
    db.forget_reports(3)
    assert db.reports(3) == []
    assert len(db.reports(4)) == 1
