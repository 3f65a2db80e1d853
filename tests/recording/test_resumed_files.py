"""What each recorder that owns files makes of them where a trial goes on."""

from __future__ import annotations

import json
import logging
import math
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_class

from hpo.paths import TrialPaths
from hpo.recording import event_file
from hpo.recording.event_file import event_files, first_events
from hpo.recording.results import ResultsJson
from hpo.recording.results_csv import ResultsCsv
from hpo.recording.tensorboard import TensorBoard
from hpo.records import TrialInfo

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tensorboard's own imports
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.compat.proto.event_pb2 import SessionLog
    from tensorboard.plugins.hparams import api_pb2

    from tests.recording.test_tensorboard_files import hparams_tab

PATHS = ("hpo.recording.results.ResultsJson", "hpo.recording.results_csv.ResultsCsv")


@pytest.fixture
def paths(info) -> TrialPaths:
    return TrialPaths(Path(info.directory))


@pytest.fixture
def going_on(info) -> TrialInfo:
    """The trial, where it goes on from the second of three records."""
    return replace(info, resumed_from=3750, num_recorded=2)


def accumulated(paths: TrialPaths) -> EventAccumulator:
    accumulator = EventAccumulator(str(paths.dashboard))
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of what it drops
    accumulator.Reload()
    return accumulator


def write(recorder: Any, records: Any, metrics: Any = None) -> None:
    for record in records:
        recorder.log(record)
    if metrics is not None:
        recorder.close(metrics)


@pytest.mark.parametrize("target", PATHS)
def test_a_table_that_goes_on_is_that_of_one_that_was_not_interrupted(info, going_on, records, paths, target):
    of = get_class(target)
    write(of(info), records, {})
    file = paths.results if "Json" in target else paths.results_csv
    whole = file.read_bytes()
    write(of(going_on), records[2:], {})
    assert file.read_bytes() == whole
    assert {path.name for path in paths.root.iterdir()} == {"dashboard", file.name}


@pytest.mark.parametrize("target", PATHS)
def test_a_table_of_a_trial_that_begins_again_is_empty_first(info, records, paths, target):
    write(get_class(target)(info), records, {})
    get_class(target)(replace(info, resumed_from=0)).close({})
    assert not paths.results.exists() or json.loads(paths.results.read_text()) == []
    assert not paths.results_csv.exists() or paths.results_csv.read_bytes() == b""


def test_results_are_whole_at_every_moment_while_they_are_cut(info, going_on, records, paths, monkeypatch):
    write(ResultsJson(info), records, {})
    before = paths.results.read_bytes()
    real = event_file.os.replace
    seen = []

    def look(source: Path, target: Path) -> None:
        seen.append(paths.results.read_bytes() == before)
        assert len(json.loads(Path(source).read_text())) == 2
        real(source, target)

    monkeypatch.setattr("os.replace", look)
    ResultsJson(going_on).close({})
    assert seen == [True]


def test_a_column_that_came_later_is_gone_with_its_rows(info, paths):
    write(ResultsCsv(info), [{"current_iteration": 1, "a": 1}, {"current_iteration": 2, "b": 2}], {})
    ResultsCsv(replace(info, resumed_from=1, num_recorded=1)).close({})
    assert paths.results_csv.read_text() == "current_iteration,a\n1,1\n"


def test_records_without_an_iteration_stay_as_far_as_they_were_saved(info, paths):
    write(ResultsJson(info), [{"a": 1}, {"current_iteration": 1, "a": 2}, {"a": 3}, {"a": 4}], {})
    ResultsJson(replace(info, resumed_from=1, num_recorded=3)).close({})
    assert json.loads(paths.results.read_text())[1:] == [{"current_iteration": 1, "a": 2}, {"a": 3}]


def test_points_beyond_are_forgotten_by_the_event_that_begins_the_new_file(info, going_on, records, paths):
    write(TensorBoard(info), records)
    later = [record | {"train_loss": 9.0} for record in records[2:]]
    write(TensorBoard(going_on), later, {})
    _, new = event_files(paths.dashboard)
    version, restart = first_events(new, 2)
    assert version.file_version == "brain.Event:2"
    assert (restart.session_log.status, restart.step) == (SessionLog.START, 3751)
    points = [(point.step, point.value) for point in accumulated(paths).Scalars("train_loss")]
    assert [step for step, _ in points] == [1875, 3750, 5625]
    assert points[2][1] == 9.0
    assert len(accumulated(paths).Tensors("config")) == 1


def test_a_trial_that_goes_on_is_one_row_of_the_hparams_tab_with_its_last_end(
    info, going_on, records, paths, tmp_path
):
    write(TensorBoard(info), records, {})
    _, (row,) = hparams_tab(tmp_path)
    assert row.sessions[0].status == api_pb2.STATUS_FAILURE
    write(TensorBoard(going_on), records[2:], {"val_loss": 1.48, "best_iteration": 3750})
    _, (row,) = hparams_tab(tmp_path)
    assert row.hparams["model_config.hidden_size"].number_value == 453
    assert [session.status for session in row.sessions] == [api_pb2.STATUS_SUCCESS]
    objective = [point.step for point in accumulated(paths).Scalars("objective/val_loss")]
    assert objective == [3750, 3750], "one of the record, one of the end"


def test_what_an_attempt_could_not_introduce_the_next_one_does(info, records, paths, tmp_path):
    event_file.EventFile(paths.dashboard).close()
    write(TensorBoard(replace(info, resumed_from=0)), records, {"val_loss": 1.48})
    assert len(hparams_tab(tmp_path)[1]) == 1
    assert len(accumulated(paths).Tensors("config")) == 1


def test_an_event_that_was_cut_is_taken_off_and_the_rest_is_read(info, going_on, records, paths):
    write(TensorBoard(info), records[:2])
    (old,) = event_files(paths.dashboard)
    whole = old.stat().st_size
    write(TensorBoard(replace(info, resumed_from=5625, num_recorded=3)), records[2:])
    with old.open("ab") as file:
        file.write(old.read_bytes()[:30])
    write(TensorBoard(going_on), records[2:], {})
    assert old.stat().st_size == whole
    assert [point.step for point in accumulated(paths).Scalars("train_loss")] == [1875, 3750, 5625]


def test_the_new_file_is_read_last_though_the_clock_was_set_back(info, going_on, records, paths, monkeypatch):
    write(TensorBoard(info), records)
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    write(TensorBoard(going_on), records[2:], {})
    old, new = event_files(paths.dashboard)
    assert first_events(new, 1)[0].wall_time == 1_000_000.0
    assert old.stat().st_mtime_ns <= new.stat().st_mtime_ns


def test_what_has_no_iteration_is_counted_on(info, paths):
    write(TensorBoard(info), [{"loss": 3.0}, {"loss": 2.0}])
    write(TensorBoard(replace(info, resumed_from=2, num_recorded=2)), [{"loss": 1.0}], {})
    assert [point.step for point in accumulated(paths).Scalars("loss")] == [1, 2, 3]
    assert not math.isnan(accumulated(paths).Scalars("loss")[0].value)
