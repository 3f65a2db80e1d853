"""A running trial between two looks: what it reported, and what its files have beyond that."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hpo.paths import TrialPaths
from hpo.progress.row import Row, memory_of, newest_record

NOW = 1_700_000_000.0


def record(iteration: int, val_loss: float = float("nan"), **values: Any) -> dict[str, Any]:
    where = {"current_epoch": iteration // 10, "epochs": 10, "current_iteration": iteration, "total_steps": 100}
    return {"train_loss": 1.0 / iteration, "val_loss": val_loss, **where, **values}


def written(path: Path, records: list[dict[str, Any]], at: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records, indent=0))
    os.utime(path, (at, at))


def test_a_report_tells_where_it_is_its_metrics_and_its_speed() -> None:
    row = Row(7, NOW, device="cpu")
    row.heard(record(10, 0.5), 10, 0, NOW + 2.0)
    row.heard(record(30, 0.25), 30, 0, NOW + 3.0)

    shown = row.shown()
    assert (shown.number, shown.epoch, shown.epochs, shown.iteration, shown.iterations) == (7, 3, 10, 30, 100)
    assert (shown.speed, shown.metrics["val_loss"], shown.fraction) == (20.0, 0.25, 0.3)
    assert (row.done, row.gained) == (0.3, 0.3)


def test_a_task_of_its_own_has_its_step() -> None:
    row = Row(7, NOW)
    row.heard({"score": 1.0}, 5, 0, NOW + 2.0)

    shown = row.shown()
    assert (shown.iteration, shown.speed, shown.fraction, row.done) == (5, 2.5, None, None)


def test_what_is_logged_between_evaluations_is_read_from_its_file(tmp_path: Path) -> None:
    row = Row(7, NOW, directory=tmp_path)
    row.heard(record(10, 0.5), 10, 0, NOW + 1.0)
    written(TrialPaths(tmp_path).results, [record(10, 0.5), record(20)], NOW + 2.0)
    row.look(NOW + 3.0)

    shown = row.shown()
    assert (shown.iteration, shown.speed) == (20, 10.0)
    assert (shown.metrics["train_loss"], shown.metrics["val_loss"]) == (0.05, 0.5)


def test_an_evaluation_that_is_not_finite_is_shown_as_it_is() -> None:
    row = Row(7, NOW)
    row.heard(record(10, 0.5), 10, 0, NOW + 1.0)
    row.heard(record(20), 20, 0, NOW + 2.0)

    assert str(row.shown().metrics["val_loss"]) == "nan"


def test_a_file_that_lags_behind_the_reports_changes_nothing(tmp_path: Path) -> None:
    row = Row(7, NOW, directory=tmp_path)
    row.heard(record(30, 0.25), 30, 0, NOW + 3.0)
    written(TrialPaths(tmp_path).results, [record(10, 0.5)], NOW + 4.0)
    row.look(NOW + 5.0)

    assert (row.shown().iteration, row.shown().metrics["val_loss"]) == (30, 0.25)


def test_neither_a_young_trial_nor_an_earlier_attempt_is_looked_at(tmp_path: Path) -> None:
    row = Row(7, NOW, directory=tmp_path)
    written(TrialPaths(tmp_path).results, [record(10)], NOW + 0.1)
    row.look(NOW + 0.5)
    assert row.shown().iteration is None

    written(TrialPaths(tmp_path).results, [record(10)], NOW - 5.0)
    row.look(NOW + 5.0)
    assert row.shown().iteration is None


@pytest.mark.parametrize(
    "content", ["", "[", "[\n]", "[\n{\n", '[{"a": 1', "nonsense {", '[{"current_iteration": "x"}]']
)
def test_a_file_that_makes_no_sense_changes_nothing(tmp_path: Path, content: str) -> None:
    TrialPaths(tmp_path).results.write_text(content)
    row = Row(7, time.time() - 10.0, directory=tmp_path)
    row.look(time.time())

    assert (row.shown().iteration, row.shown().metrics) == (None, {})


def test_the_newest_record_is_the_last_whole_one_of_a_long_file(tmp_path: Path) -> None:
    records = [record(iteration) for iteration in range(1, 2000)]
    path = tmp_path / "results"
    path.write_text(json.dumps(records)[:-40])

    found = newest_record(path)

    assert found is not None
    assert found["current_iteration"] == 1998


def test_an_attempt_that_goes_on_has_gained_what_it_did_itself() -> None:
    row = Row(7, NOW)
    row.resumed(40, 0, NOW)
    row.heard(record(60), 60, 0, NOW + 2.0)

    assert (row.done, row.gained, row.shown().speed) == (pytest.approx(0.6), pytest.approx(0.2), 10.0)


def test_replicates_are_parts_of_the_trial(tmp_path: Path) -> None:
    row = Row(7, NOW, num_replicates=4, directory=tmp_path)
    row.heard(record(100), 100, 0, NOW + 10.0)
    assert row.done == pytest.approx(0.25)
    row.entered(1, 0, NOW + 10.0)
    assert row.shown().iteration is None, "the next one has not said anything yet"
    written(TrialPaths(tmp_path).replicate(1).results, [record(20)], NOW + 12.0)
    row.look(NOW + 13.0)

    assert (row.shown().replicate, row.shown().speed) == (1, 10.0)
    assert (row.done, row.gained) == (pytest.approx(0.3), pytest.approx(0.3))


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
def test_the_memory_is_that_of_a_process_of_this_machine() -> None:
    here = Row(7, NOW, pid=os.getpid(), host=socket.gethostname()).shown().memory
    there = Row(7, NOW, pid=os.getpid(), host="another").shown().memory

    assert here is not None
    assert here > 2**20
    assert there is None
    assert memory_of(2**22 + 1) is None
