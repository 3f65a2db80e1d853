"""The event files as TensorBoard itself reads them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo.paths import TrialPaths
from hpo.recording.event_file import EventFile
from hpo.recording.tensorboard import TensorBoard

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tensorboard's own imports
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups


def read(info) -> EventAccumulator:
    accumulator = EventAccumulator(str(TrialPaths(Path(info.directory)).dashboard))
    accumulator.Reload()
    return accumulator


def record_trial(info, records, metrics: Mapping[str, float]) -> None:
    recorder = TensorBoard(info)
    for record in records:
        recorder.log(record)
    recorder.close(metrics)


def hparams_tab(logdir: Path) -> tuple[Any, Any]:
    """What TensorBoard's HParams tab asks its server for: the experiment and the rows."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(logdir))
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request_context = context.RequestContext()
    metadata = backend.hparams_metadata(request_context, "")
    experiment = backend.experiment_from_metadata(
        request_context, "", True, metadata, backend.hparams_from_data_provider(request_context, "", 1000)
    )
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=[api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
        aggregation_type=api_pb2.AGGREGATION_AVG,
    )
    rows = list_session_groups.Handler(request_context, backend, "", request).run()
    return experiment, rows.session_groups


def test_each_scalar_of_a_record_is_a_point_of_its_curve(info, records):
    record_trial(info, records, {})
    accumulator = read(info)
    scalars = {tag for tag in accumulator.Tags()["scalars"] if not tag.startswith("resources/")}
    assert scalars == {*records[0], "objective/val_loss"}
    assert [event.step for event in accumulator.Scalars("train_loss")] == [1875, 3750, 5625]
    assert [event.value for event in accumulator.Scalars("current_epoch")] == [1.0, 2.0, 3.0]


def test_a_value_that_was_not_measured_is_no_point(info, records):
    record_trial(info, records, {})
    assert [event.step for event in read(info).Scalars("val_loss")] == [3750, 5625]


def test_a_task_without_iterations_has_its_records_counted(info):
    recorder = TensorBoard(info)
    recorder.log({"loss": 2.0})
    recorder.log({"loss": 1.0})
    recorder.close({"loss": 1.0})
    assert [event.step for event in read(info).Scalars("loss")] == [1, 2]


def test_the_configuration_is_a_text(info):
    record_trial(info, [], {})
    text = read(info).Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert "    model_config:\n" in text
    assert "hidden_size: 453\n" in text
    assert "    name: mnist\n    tags:\n    - tutorial\n    - cpu\n    notes: How wide?\n" in text


def test_the_memory_of_the_process_is_a_curve_of_its_own(info, records):
    record_trial(info, records, {})
    points = read(info).Scalars("resources/memory_mb")
    assert [point.step for point in points] == [1875, 3750, 5625]
    assert all(10 < point.value < 100_000 for point in points)


def test_the_hparams_tab_shows_searched_values_and_the_objective_at_the_best_iteration(info, records, tmp_path):
    record_trial(info, records, {"val_loss": 1.48, "best_iteration": 3750})
    experiment, rows = hparams_tab(tmp_path)
    assert {column.name for column in experiment.hparam_infos} == set(info.params)
    assert [column.name.tag for column in experiment.metric_infos] == ["objective/val_loss", "val_loss"]
    (row,) = rows
    assert row.hparams["model_config.hidden_size"].number_value == 453
    assert row.hparams["optimizer_config"].string_value == "sgd"
    values = {value.name.tag: value.value for value in row.metric_values}
    assert values["objective/val_loss"] == pytest.approx(1.48)
    assert values["val_loss"] == pytest.approx(1.67)
    assert row.sessions[0].status == api_pb2.STATUS_SUCCESS


def test_the_hparams_tab_shows_the_objective_of_a_trial_that_still_runs(info, records, tmp_path):
    recorder = TensorBoard(info)
    recorder.log(records[1])
    _, (row,) = hparams_tab(tmp_path)
    assert row.metric_values[0].value == pytest.approx(1.48)
    assert row.sessions[0].status == api_pb2.STATUS_UNKNOWN  # as TensorBoard calls what has no end
    recorder.close({})


def test_trials_that_search_different_keys_all_have_their_columns(info, records, tmp_path):
    space = {"optimizer_config": {"sgd": {"optimizer_config.momentum": "interval(0, 1)"}, "adam": {}}}
    config = {**info.config, "search_space": space}
    for number, params in enumerate(({"optimizer_config": "adam"}, {"optimizer_config.momentum": 0.9})):
        directory = tmp_path / f"trial{number}"
        directory.mkdir()
        trial = replace(info, directory=str(directory), trial_id=str(number), config=config, params=params)
        record_trial(trial, records, {"val_loss": 1.48, "best_iteration": 3750})
    experiment, rows = hparams_tab(tmp_path)
    assert {column.name for column in experiment.hparam_infos} == {"optimizer_config", "optimizer_config.momentum"}
    assert "objective/val_loss" in {column.name.tag for column in experiment.metric_infos}
    assert len(rows) == 2


def test_a_trial_without_metrics_at_its_end_has_failed(info, records, tmp_path):
    record_trial(info, records, {})
    _, (row,) = hparams_tab(tmp_path)
    assert row.sessions[0].status == api_pb2.STATUS_FAILURE


def test_a_second_attempt_writes_a_file_of_its_own(info, records):
    record_trial(info, records[:1], {})
    record_trial(info, records[1:], {})
    assert len(list(TrialPaths(Path(info.directory)).dashboard.iterdir())) == 2


def test_tensorboards_own_reader_accepts_the_checksums(info, records):
    from tensorboard.compat import tf
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

    record_trial(info, records, {"val_loss": 1.48})
    (path,) = TrialPaths(Path(info.directory)).dashboard.iterdir()
    reader = PyRecordReader_New(str(path))
    num_events = 0
    while True:
        try:
            reader.GetNext()
        except tf.errors.OutOfRangeError:
            break
        num_events += 1
    # version, what is known at the start, three records, the objective, the end
    assert num_events == 1 + 3 + len(records) + 2


def test_an_event_file_makes_its_directory(tmp_path):
    EventFile(tmp_path / "dashboard").close()
    assert len(list((tmp_path / "dashboard").iterdir())) == 1
