from __future__ import annotations

import math
import resource
from pathlib import Path

import pandas
import pytest

from hpo.paths import TrialPaths
from hpo.recording.results_csv import ResultsCsv


@pytest.fixture
def path(info) -> Path:
    return TrialPaths(Path(info.directory)).results_csv


def test_the_first_record_names_the_columns_and_each_is_a_row(info, records, path):
    recorder = ResultsCsv(info)
    for count, record in enumerate(records, start=1):
        recorder.log(record)
        assert len(path.read_text().splitlines()) == 1 + count
    recorder.close({"val_loss": 1.48})
    frame = pandas.read_csv(path)
    assert list(frame.columns) == list(records[0])
    assert frame["train_loss"].tolist() == [4.23, 1.59, 1.42]
    assert frame["current_iteration"].tolist() == [1875, 3750, 5625]
    assert math.isnan(frame["val_loss"][0])
    assert frame["best_loss"][0] == math.inf


def test_a_number_is_spelled_as_in_results_json(info, path):
    recorder = ResultsCsv(info)
    recorder.log({"a": 0.1 + 0.2, "b": 3, "c": math.nan, "d": -math.inf, "e": 1e-12})
    recorder.close({})
    assert path.read_text() == "a,b,c,d,e\n0.30000000000000004,3,NaN,-Infinity,1e-12\n"


def test_a_key_that_comes_later_is_one_more_column_and_nothing_is_lost(info, path):
    recorder = ResultsCsv(info)
    recorder.log({"a": 1, "b": 2})
    recorder.log({"c": 5, "a": 3})
    recorder.log({"b": 7})
    recorder.close({})
    assert path.read_text() == "a,b,c\n1,2,\n3,,5\n,7,\n"
    assert {file.name for file in path.parent.iterdir()} == {"dashboard", "results.csv"}


def test_a_key_may_hold_what_separates_columns(info, path):
    recorder = ResultsCsv(info)
    recorder.log({'f1, "macro"': 1.0})
    recorder.log({'f1, "macro"': 2.0, "x": 1})
    recorder.close({})
    assert list(pandas.read_csv(path).columns) == ['f1, "macro"', "x"]


@pytest.mark.parametrize("there", ["", "a,b", "a,b\n", "a,b\n1,2\n", "a,b\n1,2\n3,4"])
def test_a_file_that_is_there_is_continued(info, path, there):
    path.write_text(there)
    whole = there[: there.rfind("\n") + 1]
    recorder = ResultsCsv(info)
    assert path.read_text() == whole, "a row that was cut is gone"
    recorder.log({"b": 6, "a": 5})
    recorder.close({})
    assert path.read_text() == (f"{whole}5,6\n" if whole else "b,a\n6,5\n")


def test_a_record_that_does_not_fit_on_the_disk_leaves_a_whole_table(info, records, path):
    recorder = ResultsCsv(info)
    recorder.log(records[0])
    before = path.read_text()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, hard))
    try:
        with pytest.raises(OSError, match=r"fit into results\.csv"):
            recorder.log(records[1])
        with pytest.raises(OSError):
            recorder.log({"another": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == before
    recorder.log(records[2])
    recorder.close({})
    assert pandas.read_csv(path)["current_epoch"].tolist() == [1, 3]
