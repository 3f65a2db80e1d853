from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from hpo.experiment.experiment import Experiment
from hpo.experiment.mending import mend_results
from hpo.paths import TrialPaths
from hpo.records import Report, Started, TrialSpec
from hpo.results_file import read_records, written, written_all
from tests.conftest import new_experiment
from tests.experiment.conftest import query

REPORTS = [
    Report(7, step, {"val_loss": 1 / step, "val_f1": math.nan, "current_iteration": step}) for step in (2, 4, 6)
]
RECORDS = [
    {"train_loss": 1.0, "val_loss": math.nan, "current_iteration": 1},
    *(dict(report.metrics) for report in REPORTS),
]


@pytest.fixture
def paths(tmp_path: Path) -> TrialPaths:
    return TrialPaths(tmp_path)


@pytest.mark.parametrize("num_bytes", range(1, len(written_all(RECORDS)), 7))
def test_a_file_that_was_cut_anywhere_has_all_evaluations_again(paths: TrialPaths, num_bytes: int) -> None:
    paths.results.write_text(written_all(RECORDS)[:-num_bytes])
    num_whole = len(read_records(paths.results))

    said = mend_results(paths, REPORTS, has_replicates=False)

    # to the byte, but for a record between them that was cut
    assert [written(record) for record in read_records(paths.results)] == [
        written(record) for record in (RECORDS if num_whole else RECORDS[1:])
    ]
    assert len(said) == (num_whole < len(RECORDS))


@pytest.mark.parametrize("text", [None, "", '[{"a": 1}, rubbish', "{}"])
def test_of_a_file_that_is_gone_or_rubbish_the_evaluations_are_told_and_written(
    paths: TrialPaths, text: str | None
) -> None:
    if text is not None:
        paths.results.write_text(text)

    said = mend_results(paths, REPORTS, has_replicates=False)

    assert f"{paths.results} was damaged: 3 evaluations are written again" in said[0]
    assert [record for record in json.loads(paths.results.read_text()) if "a" not in record] == [
        pytest.approx(dict(report.metrics), nan_ok=True) for report in REPORTS
    ]


def test_a_whole_file_stays_as_it_is(paths: TrialPaths) -> None:
    text = written_all(RECORDS[:2])
    paths.results.write_text(text)

    assert mend_results(paths, REPORTS, has_replicates=False) == []
    assert paths.results.read_text() == text


def test_each_replicate_has_its_own_file_mended(paths: TrialPaths) -> None:
    reports = [
        Report(7, 2, {"current_iteration": 2, "val_loss": float(index)}, replicate=index) for index in (0, 1)
    ]
    for index in (0, 1):
        paths.replicate(index).root.mkdir()

    assert len(mend_results(paths, reports, has_replicates=True)) == 2
    assert [read_records(paths.replicate(index).results)[0]["val_loss"] for index in (0, 1)] == [0.0, 1.0]


def test_a_trial_whose_directory_is_gone_begins_anew_and_says_so(quadratic: Callable[..., DictConfig]) -> None:
    experiment = new_experiment(quadratic())
    spec = experiment.prepare(TrialSpec(7, params={"task.x": 0.5}))
    experiment.record(Started(7, pid=1, host="h", device="cpu", config="{}"))
    experiment.record(Report(7, 1, {"loss": 1.0}))
    experiment.flush()
    shutil.rmtree(experiment.trial(7).root)

    again = experiment.continued(spec)

    assert experiment.trial(7).metadata.exists()
    assert again.subdir == spec.subdir
    assert query(experiment, "SELECT * FROM reports") == []
    assert f"the directory of trial {spec.subdir} is gone" in experiment.paths.log.read_text()
    experiment.abandon()


def test_a_cut_file_of_a_trial_that_goes_on_is_told_in_mp_log(
    quadratic: Callable[..., DictConfig],
) -> None:
    experiment: Experiment = new_experiment(quadratic())
    spec = experiment.prepare(TrialSpec(7, params={"task.x": 0.5}))
    experiment.record(Report(7, 1, {"loss": math.inf}))
    experiment.flush()
    experiment.trial(7).results.write_text("[\n{")

    experiment.continued(spec)

    assert json.loads(experiment.trial(7).results.read_text()) == [{"current_iteration": 1, "loss": math.inf}]
    assert "results.json was damaged: 1 evaluations" in experiment.paths.log.read_text()
    experiment.abandon()
