"""What a chart leaves out, and what it never does."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.datastructures import QueryParams

from hpo.config import Direction
from hpo.dashboard import charts
from hpo.dashboard.columns import Columns, ColumnsSeen
from hpo.dashboard.database import Database, opened
from hpo.dashboard.query import Query
from hpo.dashboard.table import best_of
from hpo.objectives import Objective
from hpo.paths import ExperimentPaths
from hpo.records import State
from tests.analysis.planted import delay
from tests.synthetic import SLOTS, make_experiment

LOSS = Objective("val_loss", Direction.min)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Of 3,000 trials: more than a chart draws."""
    root = make_experiment(tmp_path_factory.mktemp("charts"), 3000, num_reports=2, num_directories=0)
    with opened(ExperimentPaths.of(root)) as database:
        yield database


@pytest.fixture(scope="module")
def everything(database: Database) -> Query:
    return Query.of(QueryParams(""), ColumnsSeen().update(database, ["val_loss"]), ["val_loss"])


def test_a_long_curve_keeps_its_ends_its_peaks_and_its_order() -> None:
    rng = random.Random(1)
    points = [(float(step), rng.random()) for step in range(100_000)]
    points[4_321], points[77_777] = (4_321.0, 9.0), (77_777.0, -9.0)

    kept = charts.thinned(points)

    assert len(kept) <= 402
    assert kept == sorted(kept)
    assert {points[0], points[-1], points[4_321], points[77_777]} <= set(kept)
    assert charts.thinned(points[:50]) == points[:50]


def test_a_long_history_keeps_the_best_and_says_how_many_there_are(database: Database, everything: Query) -> None:
    found = charts.history(database, everything, LOSS)

    assert len(found["points"]) <= 1200 < found["total"] == 3000
    best = best_of(database, "val_loss", "min")
    assert best is not None
    assert found["best"][-1][1] == best[1]
    assert (best[0], best[1], State.COMPLETE.value) in found["points"]


def test_what_a_long_history_draws_is_distributed_as_the_trials_are(database: Database, everything: Query) -> None:
    rows = database.rows(
        "SELECT number, json_extract(metrics, '$.val_loss') AS value, state FROM trials WHERE experiment_id = ? "
        "AND typeof(json_extract(metrics, '$.val_loss')) IN ('integer', 'real')"
    )
    found = charts.history(database, everything, LOSS)

    drawn = found["points"]
    assert {number for number, _, _ in drawn} <= {row["number"] for row in rows}
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        value = np.quantile([row["value"] for row in rows], share)
        assert np.mean([each[1] <= value for each in drawn]) == pytest.approx(share, abs=0.04)
        # and no stretch of the trials is drawn more than another
        assert np.mean([each[0] <= share * 3000 for each in drawn]) == pytest.approx(share, abs=0.04)
    for state in {row["state"] for row in rows}:
        of_all = np.mean([row["state"] == state for row in rows])
        assert np.mean([each[2] == state for each in drawn]) == pytest.approx(of_all, abs=0.03), state
    assert {min(row["value"] for row in rows), max(row["value"] for row in rows)} <= {each[1] for each in drawn}


def test_trials_that_come_leave_most_of_those_that_are_drawn_where_they_are() -> None:
    trials = [(number, float(number % 97), "COMPLETE", True) for number in range(3000)]

    before = charts._sampled(trials[:2990], ())

    assert before == charts._sampled(trials[:2990], ())
    assert len(set(before) - set(charts._sampled(trials, ()))) <= 20


def test_values_that_are_very_bad_do_not_stretch_the_axis() -> None:
    values = [0.5 + index / 1000 for index in range(100)] + [1e9]

    assert charts._limits(values, LOSS) == (0.5, pytest.approx(0.87, abs=0.02))
    assert charts._limits([3.0], LOSS) == (3.0, 3.0)
    assert charts._limits([], LOSS) is None


def test_lines_beyond_those_that_can_be_seen_are_left_out_but_never_the_best(
    database: Database, everything: Query
) -> None:
    found = charts.parallel(database, everything, (LOSS,), {})

    values = [row[-1] for row in found["rows"]]
    assert len(values) == 800 < found["total"]
    assert values == sorted(values)
    assert values[0] == best_of(database, "val_loss", "min")[1]  # type: ignore[index] # there is one
    assert math.isclose(values[-1], 2, abs_tol=0.4)


def test_bars_too_narrow_to_be_seen_are_joined_and_all_trials_are_counted(database: Database) -> None:
    found = charts.timeline(database, None)

    assert len(found["slots"]) == SLOTS
    assert sum(map(len, found["slots"])) <= 4000
    assert sum(count for slot in found["slots"] for *_, count in slot) == 3000


def test_a_week_without_trials_is_left_out_of_the_timeline_and_said(tmp_path: Path) -> None:
    paths = ExperimentPaths.of(make_experiment(tmp_path, 40, num_reports=1, num_directories=0))
    with opened(paths) as database:
        before = charts.timeline(database, None)
    delay(paths, since=20, days=7)
    with opened(paths) as database:
        after = charts.timeline(database, None)

    ((at, length),) = after["pauses"]
    assert before["pauses"] == []
    assert length == pytest.approx(7 * 86400, rel=0.01)
    assert 0 < at < after["span"] < 2 * before["span"]
    assert len(after["slots"]) == SLOTS


def test_titles_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    columns = Columns.of(["model_config.lr", "optimizer_config.lr", "task.x", "optimizer_config"], [], [])

    assert [column.title for column in columns.params] == [
        "model_config.lr",
        "optimizer_config.lr",
        "x",
        "optimizer_config",
    ]
