"""What the scheduler hears, as snapshots."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hpo.paths import ExperimentPaths
from hpo.progress.board import Board
from hpo.progress.snapshot import Best, Standing
from hpo.records import Ended, ReplicateEnded, Report, Resumed, Started, State

BEST = Best("0001_ab", "val_loss", 0.5)


def board(counts: dict[State, int] | None = None, **values: Any) -> Board:
    paths = ExperimentPaths(Path("/nowhere"), "1901_aa90")
    standing = Standing(counts or {}, BEST)
    return Board(paths, ["val_loss"], lambda: standing, "{:04d}_ab".format, **({"total": 10} | values))


def started(number: int, at: float | None = None, attempt: int = 1) -> Started:
    return Started(number, 77, "another", "cuda:0", time=at or time.time(), attempt=attempt)


def test_a_snapshot_says_what_runs_what_ended_and_what_was_warned_of() -> None:
    made = board({State.RUNNING: 2, State.COMPLETE: 1})
    for number in range(3):
        made.hear(started(number))
    made.hear(Report(1, 10, {"val_loss": 0.25, "current_epoch": 1, "epochs": 2}))
    made.hear(Ended(0, State.FAIL, reason="ValueError: no"))
    made.warn("first")
    made.warn("second")

    taken = made.snapshot(10)

    assert (taken.experiment_id, taken.directory) == ("1901_aa90", "/nowhere/experiment_1901_aa90")
    assert (taken.standing.best, taken.standing.num_done, taken.total) == (BEST, 1, 10)
    assert [(trial.number, trial.epoch) for trial in taken.running] == [(1, 1), (2, None)]
    assert [(trial.number, trial.state, trial.reason) for trial in taken.ended] == [
        (0, State.FAIL, "ValueError: no")
    ]
    assert taken.ended[0].device == "cuda:0"
    assert taken.warning is not None
    assert taken.warning.text == "second"


def test_of_thousands_the_first_that_run_and_the_last_that_ended_are_in_it() -> None:
    made = board()
    for number in range(5000):
        made.hear(started(number))
    for number in range(1000):
        made.hear(Ended(number, State.COMPLETE, {"val_loss": 1.0}))

    taken = made.snapshot(3)

    assert [trial.number for trial in taken.running] == [1000, 1001, 1002]
    assert [trial.number for trial in taken.ended] == [999, 998, 997, 996, 995]
    assert taken.num_running == 4000


def test_a_further_attempt_begins_at_the_end_of_the_list() -> None:
    made = board()
    made.hear(started(0))
    made.hear(Ended(0, State.FAIL_RECOVERABLE, reason="killed"))
    made.hear(started(1))
    made.hear(started(0, attempt=2))
    made.hear(Resumed(0, attempt=2, step=5))

    assert [trial.number for trial in made.snapshot(9).running] == [1, 0]


def test_a_replicate_that_has_ended_makes_way_for_the_next() -> None:
    made = board(num_replicates=3)
    made.hear(started(0))
    made.hear(ReplicateEnded(0, 0, 42, State.COMPLETE, {"val_loss": 0.5}))

    (trial,) = made.snapshot(9).running
    assert (trial.replicate, made.snapshot(9).num_replicates) == (1, 3)


def test_what_is_heard_of_a_trial_that_does_not_run_is_passed_over() -> None:
    made = board()
    made.hear(Report(3, 10, {"val_loss": 0.25}))
    made.hear(Resumed(3, attempt=2, step=5))

    assert made.snapshot(9).running == ()


def test_the_time_left_follows_from_what_has_ended_and_ends_with_the_budget() -> None:
    ago = time.time() - 100.0
    counts = {State.COMPLETE: 5}
    for timeout_s, expected in ((None, 100.0), (7.0, 7.0)):
        made = board(counts, timeout_s=timeout_s)
        for number in range(5):
            made.hear(started(number, ago))
            made.hear(Ended(number, State.COMPLETE, {"val_loss": 0.5}))
        assert made.snapshot(9).left_s == pytest.approx(expected, abs=2.0)
    assert board(counts, total=None).snapshot(9).left_s is None


def test_events_come_while_snapshots_are_taken() -> None:
    made = board()
    errors: list[BaseException] = []

    def look() -> None:
        try:
            while not done.is_set():
                made.snapshot(50)
        except BaseException as error:
            errors.append(error)

    done = threading.Event()
    thread = threading.Thread(target=look)
    thread.start()
    for number in range(2000):
        made.hear(started(number))
        made.hear(Report(number, 1, {f"metric_{index}": 1.0 for index in range(number % 20)}))
        if number % 2:
            made.hear(Ended(number, State.COMPLETE))
    done.set()
    thread.join()

    assert errors == []
