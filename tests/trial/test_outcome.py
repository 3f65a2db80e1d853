"""What counts as metrics, and as a text that can be kept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from hpo.errors import MisfitError, TrialError
from hpo.objectives import objectives
from hpo.paths import TrialPaths
from hpo.records import Obstacle, State
from hpo.trial import outcome
from hpo.trial.outcome import failed, numbers, writable


@pytest.mark.parametrize("value", ["1", b"1", None, [1.0]], ids=repr)
def test_what_is_no_number_is_no_metric(value: Any) -> None:
    with pytest.raises(TrialError, match="metrics must be numbers, but were"):
        numbers({"score": value})


def test_a_text_that_is_too_long_keeps_its_ends_and_one_that_cannot_be_encoded_is_spelled() -> None:
    assert writable("a" * 10 + "b" * 10, 4) == "aa [... 16 characters ...] bb"
    assert writable("bad \udcff", 100) == "bad \\udcff"


def test_reports_are_the_records_in_which_no_objective_is_unmeasured(
    config_of: Callable[..., DictConfig], paths: TrialPaths
) -> None:
    wanted = objectives(config_of("raises"))
    assert outcome.read_reports(3, paths, wanted) == []
    paths.results.write_text(
        json.dumps(
            [
                {"loss": math.nan, "current_iteration": 5, "train_loss": 1.0},
                {"loss": 0.5, "current_iteration": 10, "train_loss": math.nan},
                {"current_iteration": 15, "f1": 1.0},
            ]
        )
    )

    found = outcome.read_reports(3, paths, wanted)

    assert [(report.number, report.step) for report in found] == [(3, 10), (3, 15)]
    paths.results.write_text(paths.results.read_text()[:-3])
    assert [report.step for report in outcome.read_reports(3, paths, wanted)] == [10], "the last one was cut"
    paths.results.write_text("[{")
    assert outcome.read_reports(3, paths, wanted) == []


def test_a_report_is_read_as_it_was_made_without_the_step_that_its_record_has() -> None:
    for metrics in ({"loss": 1.0}, {"loss": 1.0, "current_iteration": 7}):
        record = outcome.as_logged(metrics, 7)
        assert record["current_iteration"] == 7
        assert outcome.as_reported(record) == metrics


def test_torchs_complaint_about_memory_counts_as_a_memory_error(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)

    paths = TrialPaths(tmp_path)
    assert failed(1, caught.value, paths, ["MemoryError"]).state is State.FAIL_RECOVERABLE
    assert failed(1, caught.value, paths, ["ConnectionError"]).state is State.FAIL
    assert failed(1, RuntimeError("shape"), paths, ["MemoryError"]).state is State.FAIL


def test_a_trial_whose_checkpoint_does_not_fit_waits(tmp_path: Path) -> None:
    ended = failed(1, MisfitError("checkpoint_9.pt does not fit"), TrialPaths(tmp_path))

    assert (ended.state, ended.obstacle) == (State.WAITING, Obstacle.MISFIT)
    assert ended.reason == "checkpoint_9.pt does not fit"
