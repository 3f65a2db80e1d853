"""An experiment on disk as Python sees it: real ones, written event by event."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from omegaconf import DictConfig

import hpo
from hpo.errors import HpoError
from hpo.experiment.experiment import Experiment
from hpo.records import Ended, ReplicateEnded, Report, Started, State, TrialSpec
from tests.conftest import new_experiment

Quadratic = Callable[..., DictConfig]
START_S = 1_000_000.0


def run_trial(experiment: Experiment, number: int, state: State = State.COMPLETE, **metrics: float) -> None:
    experiment.prepare(TrialSpec(number, params={"task.x": float(number)}))
    experiment.record(Started(number, 1, "host", "cpu", config='{"task": {"x": 1}}', time=START_S))
    if metrics:
        experiment.record(Report(number, 1, metrics, time=START_S + 1))
    experiment.record(Ended(number, state, metrics, reason=None if metrics else "no luck", time=START_S + 2.5))


def test_a_running_experiment_is_read_anew_and_its_writer_goes_on(quadratic: Quadratic) -> None:
    writer = new_experiment(quadratic())
    saved = hpo.load(writer.paths.root)
    assert (saved.state, saved.trials, saved.best_trial) == (State.RUNNING, [], None)

    run_trial(writer, 0, loss=3.0)
    run_trial(writer, 1, State.FAIL)
    run_trial(writer, 2, loss=1.0)
    run_trial(writer, 3, State.PRUNED_POOR_PERFORMANCE, loss=0.5)

    assert [trial.number for trial in saved.trials] == [0, 1, 2, 3]
    assert saved.best_trial == saved.trials[2]
    assert saved.best_trials == [saved.trials[2]]
    writer.close(State.COMPLETE)
    assert saved.state is State.COMPLETE
    assert saved.experiment_id == writer.paths.experiment_id
    assert saved.config.task.x == 0.0


def test_a_trial_holds_all_that_is_known_of_it(quadratic: Quadratic) -> None:
    writer = new_experiment(quadratic())
    run_trial(writer, 0, loss=3.0)
    run_trial(writer, 1, State.FAIL)
    paths = writer.trial(0)
    for iteration in (9, 10):
        paths.checkpoint(iteration).touch()
    writer.close(State.COMPLETE)
    first, failed = hpo.load(writer.paths.root).trials

    assert (first.params, first.metrics, first.values, first.value) == (
        {"task.x": 0.0},
        {"loss": 3.0},
        (3.0,),
        3.0,
    )
    assert (first.config, first.directory) == ({"task": {"x": 1}}, paths.root)
    assert (first.started, first.duration_s) == (datetime.fromtimestamp(START_S, UTC), 2.5)
    assert first.checkpoint == paths.checkpoint(10)
    paths.best_checkpoint(9).touch()
    assert first.checkpoint == paths.best_checkpoint(9)
    assert (failed.state, failed.reason, failed.values, failed.value) == (State.FAIL, "no luck", (), None)
    assert failed.checkpoint is None


def test_metrics_that_are_not_finite_are_numbers(quadratic: Quadratic) -> None:
    pytest.importorskip("pandas")
    writer = new_experiment(quadratic(num_replicates=2))
    run_trial(writer, 0, loss=1.0, aux=math.nan)
    run_trial(writer, 1, State.FAIL, loss=math.inf, aux=2.0)
    writer.record(ReplicateEnded(1, 0, 42, State.FAIL, {"loss": -math.inf}))
    writer.close(State.COMPLETE)
    saved = hpo.load(writer.paths.root)

    assert math.isnan(saved.trials[0].metrics["aux"])
    assert saved.trials[1].value == math.inf
    for frame in (saved.dataframe(), saved.reports()):
        assert frame["loss"].tolist() == [1.0, math.inf]
        assert frame["aux"].isna().tolist() == [True, False]
        assert {frame[name].dtype.kind for name in ("loss", "aux")} == {"f"}
    assert saved.replicates()["loss"].tolist() == [-math.inf]


def test_the_best_trials_of_two_objectives_are_the_pareto_set(quadratic: Quadratic) -> None:
    writer = new_experiment(quadratic(optim_metrics={"loss": "min", "score": "max"}))
    values = [(1.0, 1.0), (2.0, 2.0), (3.0, 2.0), (0.5, 0.0), (float("nan"), 9.0)]
    for number, (loss, score) in enumerate(values):
        run_trial(writer, number, loss=loss, score=score)
    writer.close(State.COMPLETE)
    saved = hpo.load(writer.paths.root)

    assert [trial.number for trial in saved.best_trials] == [0, 1, 3]
    assert saved.best_trial == saved.trials[3]


def test_a_trial_that_breaks_a_soft_constraint_is_never_the_best(quadratic: Quadratic) -> None:
    writer = new_experiment(quadratic())
    writer.prepare(TrialSpec(0))
    writer.record(Ended(0, State.COMPLETE, {"loss": 1.0}, is_feasible=False))
    saved = hpo.load(writer.paths.root)
    assert (saved.best_trial, saved.best_trials) == (None, [])

    run_trial(writer, 1, loss=3.0)
    writer.close(State.COMPLETE)

    assert [trial.is_feasible for trial in saved.trials] == [False, True]
    assert saved.best_trial == saved.trials[1]
    assert "COMPLETE: loss=1 (breaks a soft constraint)" in writer.paths.log.read_text()


def test_the_dataframes_have_a_row_for_each_trial_and_for_each_evaluation(quadratic: Quadratic) -> None:
    pytest.importorskip("pandas")
    writer = new_experiment(quadratic())
    run_trial(writer, 0, loss=3.0, reason=7.0, step=8.0)
    run_trial(writer, 1, State.FAIL)
    writer.close(State.COMPLETE)
    saved = hpo.load(writer.paths.root)

    frame = saved.dataframe()
    assert list(frame.columns) == [
        *("number", "trial_id", "state", "params_task.x", "loss", "metrics_reason", "step"),
        *("is_feasible", "started", "ended", "duration_s", "reason", "directory"),
    ]
    assert frame["state"].tolist() == ["COMPLETE", "FAIL"]
    assert (frame["params_task.x"].tolist(), frame["loss"].tolist()[0]) == ([0.0, 1.0], 3.0)
    assert frame["duration_s"].tolist() == [2.5, 2.5]
    reports = saved.reports()
    assert list(reports.columns) == ["number", "replicate", "step", "time", "loss", "reason", "metrics_step"]
    assert (len(reports), len(saved.reports(0)), len(saved.reports(1))) == (1, 1, 0)


def test_the_replicates_are_rows_of_a_dataframe_of_their_own(quadratic: Quadratic) -> None:
    pytest.importorskip("pandas")
    writer = new_experiment(quadratic(num_replicates=2))
    for number in (0, 1):
        writer.prepare(TrialSpec(number, params={"task.x": float(number)}))
        for index in (0, 1):
            writer.record(Report(number, 1, {"loss": 2.0}, replicate=index))
            writer.record(ReplicateEnded(number, index, 40 + index, State.COMPLETE, {"loss": 2.0, "ended": index}))
        writer.record(Ended(number, State.COMPLETE, {"loss": 2.0, "loss_std": 0.0}))
    writer.close(State.COMPLETE)
    saved = hpo.load(writer.paths.root)

    frame = saved.replicates()
    assert list(frame.columns) == [
        *("number", "replicate", "random_seed", "state", "loss", "metrics_ended", "ended", "reason"),
    ]
    assert frame["random_seed"].tolist() == [40, 41, 40, 41]
    assert len(saved.replicates(1)) == 2
    assert saved.reports(1)["replicate"].tolist() == [0, 1]
    assert "loss = 2 ± 0 (2 replicates)" in writer.progress.summary()
    assert "replicate 1 (random_seed 41) COMPLETE: loss=2" in writer.paths.log.read_text()


def test_without_pandas_the_error_has_the_line_that_installs_it(
    quadratic: Quadratic, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = new_experiment(quadratic())
    writer.close(State.FAIL)
    monkeypatch.setitem(sys.modules, "pandas", None)
    saved: Any = hpo.load(writer.paths.root)

    for ask in (saved.dataframe, saved.reports, saved.replicates):
        with pytest.raises(HpoError, match=r"pip install 'hpo\[analysis\]'"):
            ask()
