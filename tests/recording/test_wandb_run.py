"""Runs in offline mode, as wandb's own reader finds them on disk."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo.recording.wandb_run import WandbRun

wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install 'hpo[wandb]'")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

DEADLINE_S = 60.0


@pytest.fixture
def info(info):
    return replace(info, config={**info.config, "experiment_id": "1901_aa90"})


def logged(data: bytes) -> Iterator[bytes]:
    """The whole entries of wandb's log: LevelDB's format after a header of 7 bytes, in blocks of 32 KiB."""
    at, entry = 7, b""
    while at + 7 <= len(data):
        left_in_block = 2**15 - at % 2**15
        if left_in_block < 7:
            at += left_in_block
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        if at + 7 + length > len(data):
            break
        entry += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield entry
            entry = b""


def written(info) -> list[Any]:
    """The records of the trial's offline run, in wandb's own protobuf, once its end is among them.

    wandb's own process writes the last ones after a run's finish() has returned.
    """
    from wandb.proto import wandb_internal_pb2

    (path,) = Path(info.directory).glob("wandb/offline-run-*/run-*.wandb")
    records: list[Any] = []
    deadline = time.monotonic() + DEADLINE_S
    while not any(record.HasField("exit") for record in records):
        assert time.monotonic() < deadline, "the run's end is not on disk"
        time.sleep(0.01)
        records = [wandb_internal_pb2.Record.FromString(entry) for entry in logged(path.read_bytes())]
    return records


def value_of(items: Any, name: str) -> Any:
    """The newest value of a key, plain or nested."""
    found = [item for item in items if name in (item.key, "/".join(item.nested_key))]
    return json.loads(found[-1].value_json)


def test_a_run_has_the_name_tags_notes_and_params_of_its_trial(info):
    WandbRun(info).close({"val_loss": 1.48})
    (run,) = (record.run for record in written(info) if record.HasField("run"))
    assert (run.project, run.display_name, run.run_group) == ("mnist", "0003_1f3a", "1901_aa90")
    assert (list(run.tags), run.notes) == (["tutorial", "cpu"], "How wide?")
    assert value_of(run.config.update, "params") == dict(info.params)
    assert value_of(run.config.update, "model_config")["hidden_size"] == 453


def test_records_are_steps_of_the_history(info, records):
    recorder = WandbRun(info)
    for record in records:
        recorder.log(record)
    recorder.close({"val_loss": 1.48})
    history = [record.history for record in written(info) if record.HasField("history")]
    assert [entry.step.num for entry in history] == [1875, 3750, 5625]
    assert [value_of(entry.item, "train_loss") for entry in history] == [4.23, 1.59, 1.42]
    assert "val_loss" not in ["/".join(item.nested_key) or item.key for item in history[0].item]


@pytest.mark.parametrize(("metrics", "exit_code"), [({"val_loss": 1.48}, 0), ({}, 1)])
def test_the_end_has_the_final_metrics_or_has_failed(info, metrics, exit_code):
    WandbRun(info).close(metrics)
    (end,) = (record.exit for record in written(info) if record.HasField("exit"))
    assert end.exit_code == exit_code
    summaries = [item for record in written(info) for item in record.summary.update]
    if metrics:
        assert value_of(summaries, "final/val_loss") == 1.48


def test_trials_follow_one_another_in_one_process(info, tmp_path):
    for number in (1, 2):
        trial = replace(info, trial_id=f"000{number}_1f3a", directory=str(tmp_path / str(number)))
        Path(trial.directory).mkdir()
        recorder = WandbRun(trial, project="given")
        recorder.log({"loss": 1.0, "current_iteration": 5})
        recorder.close({"loss": 1.0})
        (run,) = (record.run for record in written(trial) if record.HasField("run"))
        assert (run.project, run.display_name) == ("given", trial.trial_id)


def test_a_replicate_has_a_run_of_its_own(info):
    WandbRun(replace(info, trial_id="0003_1f3a/replicate_1")).close({"val_loss": 1.48})
    (run,) = (record.run for record in written(info) if record.HasField("run"))
    assert (run.run_id, run.display_name) == ("1901_aa90-0003_1f3a-replicate_1", "0003_1f3a/replicate_1")
