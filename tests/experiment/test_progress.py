from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

from hpo.config import Direction
from hpo.experiment.progress import Progress
from hpo.objectives import Objective
from hpo.paths import ExperimentPaths
from hpo.records import DataSource, Ended, ReplicateEnded, Started, State, TrialSpec

LOSS = Objective("val_loss", Direction.min)
ACCURACY = Objective("val_accuracy", Direction.max)
PATHS = ExperimentPaths(Path("/x"), "1901_aa90")


def progress(*objectives: Objective, num_trials: int = 4, source: DataSource | None = None) -> Progress:
    made = Progress(PATHS, objectives or (LOSS,), source)
    for number in range(num_trials):
        made.waiting(TrialSpec(number, params={"optimizer_config": "sgd", "lr": 0.1 * number}), f"000{number}_ab")
    return made


def started(number: int) -> Started:
    return Started(number, pid=77, host="h", device="cuda:0", time=100.0)


def complete(number: int, **metrics: float) -> Ended:
    return Ended(number, State.COMPLETE, metrics, time=102.5)


def test_the_counts_follow_every_state() -> None:
    made = progress(num_trials=6)
    made.started(started(0))
    made.started(started(1))
    made.ended(complete(1, val_loss=1.0))
    made.ended(Ended(2, State.FAIL))
    made.ended(Ended(3, State.PRUNED_DUPLICATE))
    made.ended(Ended(4, State.PRUNED_POOR_PERFORMANCE))

    assert made.counts() == "1 running, 1 waiting, 1 complete, 1 failed, 2 pruned"
    assert made.unfinished() == [0, 5]
    assert made.num_complete == 1


def test_a_trial_that_is_tried_again_is_counted_and_its_death_is_in_the_summary() -> None:
    made = progress()
    made.started(started(0))
    made.ended(Ended(0, State.FAIL_RECOVERABLE, reason="killed by signal 9 (SIGKILL)"))

    assert made.counts() == "0 running, 3 waiting, 0 complete, 0 failed, 0 pruned, 1 to be tried again"
    made.started(started(0))
    made.ended(complete(0, val_loss=1.0))
    assert made.counts() == "0 running, 3 waiting, 1 complete, 0 failed, 0 pruned"
    assert "tried again: trial 0000_ab: killed by signal 9 (SIGKILL)" in made.summary()
    made.ended(Ended(1, State.FAIL_RECOVERABLE, reason="other"))
    assert "tried again: 2 trials, first 0000_ab: killed by signal 9 (SIGKILL)" in made.summary()


def test_a_start_names_the_trial_its_parameters_its_process_and_the_counts() -> None:
    line = progress().started(started(1))

    assert line == (
        "trial 0001_ab started on cuda:0 (pid 77): optimizer_config=sgd lr=0.1 | "
        "1 running, 3 waiting, 0 complete, 0 failed, 0 pruned"
    )


def test_an_end_says_how_long_it_took_and_the_objectives_first() -> None:
    made = progress()
    made.started(started(0))

    level, line = made.ended(complete(0, train_loss=9.0, val_accuracy=0.123456789, val_loss=1e-7))

    assert level == logging.INFO
    assert line.startswith("trial 0000_ab COMPLETE after 2.5 s: val_loss=1e-07, val_accuracy=0.12346 | 0 running")


def test_a_failure_is_a_warning_with_its_reason_in_one_line() -> None:
    level, line = progress().ended(Ended(2, State.FAIL, reason="ValueError: no", traceback="Traceback\n..."))

    assert level == logging.WARNING
    assert line == "trial 0002_ab FAIL: ValueError: no | 0 running, 3 waiting, 0 complete, 1 failed, 0 pruned"


@pytest.mark.parametrize(("objective", "best"), [(LOSS, 1), (ACCURACY, 2)])
def test_the_best_trial_is_the_best_complete_one_by_the_objective(objective: Objective, best: int) -> None:
    made = progress(LOSS, ACCURACY)
    made.ended(complete(0, val_loss=math.nan, val_accuracy=math.inf))
    made.ended(complete(1, val_loss=0.1, val_accuracy=0.1))
    made.ended(complete(2, val_loss=0.2, val_accuracy=0.9))
    made.ended(Ended(3, State.FAIL, {"val_loss": 0.0, "val_accuracy": 1.0}))

    assert made.best(objective) == best


def test_the_first_of_equals_is_the_best_and_nothing_complete_is_none() -> None:
    made = progress()
    assert made.best() is None
    made.ended(complete(2, val_loss=1.0))
    made.ended(complete(1, val_loss=1.0))

    assert made.best() == 1


def test_the_summary_shows_best_parameters_metric_directory_and_counts() -> None:
    made = progress(LOSS, ACCURACY, num_trials=3)
    made.ended(complete(0, val_loss=0.5, val_accuracy=0.9))
    made.ended(complete(1, val_loss=0.25, val_accuracy=0.8))
    made.ended(Ended(2, State.FAIL, reason="ValueError: no"))
    made.tested(Ended(1, State.COMPLETE, {"test_loss": 0.3}))

    assert made.summary().splitlines() == [
        "",
        "experiment 1901_aa90: 0 running, 0 waiting, 2 complete, 1 failed, 0 pruned",
        "first failure: trial 0002_ab: ValueError: no",
        "best trial by val_loss: 0001_ab",
        "  val_loss = 0.25",
        "  optimizer_config=sgd",
        "  lr=0.1",
        "  on the test data: test_loss=0.3",
        "  directory: /x/experiment_1901_aa90/0001_ab",
        "best trial by val_accuracy: 0000_ab",
        "  val_accuracy = 0.9",
        "  optimizer_config=sgd",
        "  lr=0.0",
        "  directory: /x/experiment_1901_aa90/0000_ab",
        "Pareto set: 2 trials",
        "  trial    val_loss  val_accuracy  parameters",
        "  0001_ab  0.25      0.8           optimizer_config=sgd lr=0.1",
        "  0000_ab  0.5       0.9           optimizer_config=sgd lr=0.0",
        "everything is in /x/experiment_1901_aa90",
    ]


def test_the_values_of_replicates_are_shown_with_their_spread() -> None:
    made = progress(LOSS, ACCURACY, num_trials=2)
    for index, state in enumerate((State.COMPLETE, State.FAIL)):
        line = made.replicate_ended(ReplicateEnded(0, index, 40 + index, state, {"val_loss": 0.5}, reason="no"))
        assert line == f"trial 0000_ab replicate {index} (random_seed {40 + index}) {state.value}: no"
    made.ended(complete(0, val_loss=0.5, val_accuracy=0.9, val_loss_std=0.125, val_accuracy_std=0.0625))
    made.ended(complete(1, val_loss=0.25, val_accuracy=0.8, val_loss_std=7.0))

    summary = made.summary().splitlines()
    assert "  val_loss = 0.25" in summary, "a metric of that name is no spread where there are no replicates"
    assert "  val_accuracy = 0.9 ± 0.0625 (2 replicates)" in summary
    assert "  0000_ab  0.5 ± 0.125  0.9 ± 0.0625  optimizer_config=sgd lr=0.0" in summary


def test_a_long_pareto_set_is_cut_and_says_where_the_rest_is() -> None:
    made = progress(LOSS, ACCURACY, num_trials=30)
    for number in range(30):
        made.ended(complete(number, val_loss=float(number), val_accuracy=float(number)))

    lines = made.summary().splitlines()

    assert "Pareto set: 30 trials" in lines
    assert sum("  optimizer_config=sgd lr=" in line for line in lines) == 20
    assert lines[-2] == "  and 10 more in best_trials.yaml"


def test_the_best_trials_are_the_pareto_set_or_with_one_objective_the_best_trial() -> None:
    values = [(0.5, 0.5), (0.4, 0.6), (0.3, 0.1), (0.3, 0.1)]
    for objectives, best in (((LOSS,), [2]), ((LOSS, ACCURACY), [1, 2, 3])):
        made = progress(*objectives)
        assert made.best_trials() == []
        for number, (loss, accuracy) in enumerate(values):
            made.ended(complete(number, val_loss=loss, val_accuracy=accuracy))
        assert made.best_trials() == best


@pytest.mark.parametrize("objectives", [(LOSS,), (LOSS, ACCURACY)], ids=len)
def test_a_trial_that_breaks_a_soft_constraint_is_never_among_the_best(objectives: tuple[Objective, ...]) -> None:
    made = progress(*objectives)
    made.ended(Ended(0, State.COMPLETE, {"val_loss": 0.1, "val_accuracy": 1.0}, is_feasible=False))

    assert (made.best(), made.best_trials(), made.num_complete) == (None, [], 1)
    assert "no trial is feasible: every one that completed breaks a soft constraint" in made.summary()

    made.ended(complete(1, val_loss=0.5, val_accuracy=0.5))
    assert (made.best(), made.best_trials()) == (1, [1])
    assert "feasible" not in made.summary()


def test_a_warning_about_the_data_is_in_the_summary() -> None:
    source = DataSource("digits", "ff", warning="these are not MNIST's images")

    assert "WARNING: these are not MNIST's images" in progress(source=source).summary().splitlines()
