from __future__ import annotations

import json
import math
import resource
from pathlib import Path

import pandas
import pytest

from hpo.paths import TrialPaths
from hpo.recording.results import ResultsJson


@pytest.fixture
def path(info) -> Path:
    return TrialPaths(Path(info.directory)).results


def test_the_file_is_a_valid_array_before_and_after_every_append(info, records, path):
    recorder = ResultsJson(info)
    assert json.loads(path.read_text()) == []
    for count, record in enumerate(records, start=1):
        recorder.log(record)
        assert len(json.loads(path.read_text())) == count
    recorder.close({"val_loss": 1.48})
    assert len(json.loads(path.read_text())) == len(records)


def test_keys_keep_the_order_of_the_record(info, records, path):
    recorder = ResultsJson(info)
    recorder.log(records[0])
    assert list(json.loads(path.read_text())[0]) == list(records[0])
    recorder.close({})


def test_a_record_is_written_one_key_a_line_with_nan_and_infinity(info, records, path):
    recorder = ResultsJson(info)
    recorder.log(records[0])
    lines = path.read_text().splitlines()
    assert lines[:2] == ["[", "{"]
    assert '"val_loss": NaN,' in lines
    assert '"best_loss": Infinity,' in lines
    assert lines[-2:] == ["}", "]"]
    recorder.close({})


def test_pandas_reads_the_file(info, records, path):
    recorder = ResultsJson(info)
    for record in records:
        recorder.log(record)
    recorder.close({})
    frame = pandas.read_json(path)
    assert list(frame["current_epoch"]) == [1, 2, 3]
    assert math.isnan(frame["val_loss"][0])


@pytest.mark.parametrize(
    "there", ["", "[", "[]", "[\n]", '[{"a": 1}]', '[\n{\n"a": 1\n}\n]', '[\n{\n"a": 1\n},\n{\n"b": 2\n}  \n]\n\n']
)
def test_an_array_that_is_there_is_continued(info, path, there):
    path.write_text(there)
    before = json.loads(there) if there not in ("", "[") else []
    recorder = ResultsJson(info)
    assert json.loads(path.read_text()) == before
    recorder.log({"c": 3})
    recorder.close({})
    assert json.loads(path.read_text()) == [*before, {"c": 3}]


def test_a_record_that_was_cut_anywhere_is_dropped_by_the_next_attempt(info, records, path):
    recorder = ResultsJson(info)
    recorder.log(records[0])
    num_kept = path.stat().st_size - 2
    recorder.log(records[1])
    recorder.close({})
    whole = path.read_bytes()
    # up to the brace that ends the second record
    for num_bytes in range(num_kept, len(whole) - 2):
        path.write_bytes(whole[:num_bytes])
        ResultsJson(info).close({})
        assert [record["current_epoch"] for record in json.loads(path.read_text())] == [1]


def test_a_record_that_does_not_fit_on_the_disk_leaves_a_valid_array(info, records, path):
    recorder = ResultsJson(info)
    recorder.log(records[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write .*results\.json: .* bytes are wanted"):
            recorder.log(records[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(json.loads(path.read_text())) == 1
    recorder.log(records[2])
    recorder.close({})
    assert [record["current_epoch"] for record in json.loads(path.read_text())] == [1, 3]
