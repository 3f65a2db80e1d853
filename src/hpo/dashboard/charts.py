"""What the charts of an experiment show, cut down to what can be seen."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hpo.analysis.pauses import pauses
from hpo.dashboard.columns import Column
from hpo.dashboard.database import Database
from hpo.dashboard.query import Query
from hpo.dashboard.shown import finite
from hpo.dashboard.shown import value as spelled
from hpo.dashboard.table import Row, rows_of
from hpo.objectives import Objective
from hpo.records import State

_MAX_DRAWN = 1200
_MAX_POINTS = 400
_MAX_LINES = 800
_MAX_AXES = 12
_MAX_CATEGORIES = 24
_LOG_RATIO = 1000
_MAX_BARS = 4000
# in seconds since the epoch, by SQLite: Python would read the text of times for longer than all the rest takes
_BARS = (
    "SELECT (julianday(started_at) - 2440587.5) * 86400.0, (julianday(ended_at) - 2440587.5) * 86400.0, number, "
    "state FROM trials WHERE experiment_id = ? AND started_at IS NOT NULL ORDER BY started_at, number"
)
_MIN_BARS = 40

Point = tuple[float, float]
# a trial's number, value, state, and whether it is feasible
_Valued = tuple[int, float, str, bool]


def history(database: Database, query: Query, objective: Objective) -> dict[str, Any]:
    """The value of each trial that has one, and the best so far over all complete ones."""
    column = Column("", objective.name, "metrics", objective.name)
    found = [
        (int(number), value, str(state), bool(is_feasible))
        for number, state, is_feasible, raw in _values(database, query, "number, state, is_feasible", [column])
        if (value := finite(raw)) is not None
    ]
    able = [
        (number, value) for number, value, state, is_able in found if state == State.COMPLETE.value and is_able
    ]
    best = _improvements(able, objective)
    limits = _limits([value for _, value, _, _ in found], objective)
    shown = _sampled(found, {number for number, _ in best})
    return {
        "objective": objective.name,
        "direction": objective.direction.value,
        "points": [(number, value, state) for number, value, state, _ in shown],
        "best": best,
        "limits": limits,
        "outside": sum(not limits[0] <= value <= limits[1] for _, value, _, _ in found) if limits else 0,
        "total": len(found),
        "is_filtered": query.is_filtered,
    }


def curves(database: Database, numbers: Sequence[int], metric: str) -> dict[str, Any]:
    """The course of one metric in some trials, each replicate a line."""
    return {
        "metric": metric,
        "lines": [
            {
                "number": row.number,
                "id": row.trial_id,
                "state": row.state.value,
                "replicate": replicate,
                "points": points,
            }
            for row in rows_of(database, numbers)
            for replicate, points in _courses(database, row.number, metric)
        ],
    }


def curves_of_trial(database: Database, number: int) -> dict[str, Any]:
    """The course of every metric of one trial; train and validation of the same one belong together."""
    rows = database.rows(
        "SELECT DISTINCT entry.key FROM (SELECT metrics FROM reports WHERE experiment_id = ? AND number = ? "
        "ORDER BY step DESC LIMIT 50) AS newest, json_each(newest.metrics) AS entry",
        number,
    )
    names = [str(row[0]) for row in rows]
    lines: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        if name.startswith(("best_", "current_", "epochs", "total_steps")):
            continue
        of_split, base = _split(name)
        lines.setdefault(base, []).extend(
            {"name": of_split or name, "replicate": replicate, "points": points}
            for replicate, points in _courses(database, number, name)
            if points
        )
    return {"charts": [{"metric": base, "lines": of_base} for base, of_base in lines.items() if of_base]}


def parallel(
    database: Database, query: Query, objectives: Sequence[Objective], searched: Mapping[str, Any]
) -> dict[str, Any]:
    """Parameters and objectives of the complete trials; of very many the best, and a part of the others."""
    first = objectives[0]
    sign = 1.0 if first.direction.value == "min" else -1.0
    able = [
        (sign * value, number)
        for number, state, raw in _values(database, query, "number, state", [query.columns.metric(first.name)])
        if state == State.COMPLETE.value and (value := finite(raw)) is not None
    ]
    numbers = _evenly([number for _, number in sorted(able)])
    columns = [*query.columns.params[:_MAX_AXES], *(query.columns.metric(each.name) for each in objectives)]
    rows = [(row.number, *(_drawn(row, column) for column in columns)) for row in rows_of(database, numbers)]
    axes = [_axis(column, [row[index + 1] for row in rows], searched) for index, column in enumerate(columns)]
    return {"axes": axes, "rows": rows, "total": len(able), "is_filtered": query.is_filtered}


def _evenly(numbers: Sequence[int]) -> list[int]:
    """Of very many the first quarter of those that are drawn, and then one in so many."""
    if len(numbers) <= _MAX_LINES:
        return list(numbers)
    best = list(numbers[: _MAX_LINES // 4])
    every = (len(numbers) - len(best)) / (_MAX_LINES - len(best))
    return best + [numbers[len(best) + int(index * every)] for index in range(_MAX_LINES - len(best))]


def _drawn(row: Row, column: Column) -> Any:
    """What an axis has a place for: numbers and text."""
    found = row.value(column)
    if column.is_metric:
        return finite(found)
    return found if found is None or finite(found) is not None else spelled(found)


def timeline(database: Database, ended: datetime | None) -> dict[str, Any]:
    """Which trial ran when: the slots are found again from the times, one trial after the other in each.

    Times are in seconds since the first start, without `pauses`: where each is drawn, and how long it was.
    """
    now = (ended or datetime.now(UTC)).timestamp()
    bars = [
        (start, max(start, now if end is None else end), number, state)
        for start, end, number, state in database.rows(_BARS)
    ]
    if not bars:
        return {"span": 0, "slots": []}
    since = bars[0][0]
    begins, ends = np.array([bar[:2] for bar in bars]).T - since
    found = pauses(begins, ends)
    shown = zip(found.cut(begins).tolist(), found.cut(ends).tolist(), bars, strict=True)
    bars = [(start, end, number, state) for start, end, (_, _, number, state) in shown]
    slots = _slots(bars)
    span = max(*(bar[1] for bar in bars), 1e-9)
    busy = sum(bar[1] - bar[0] for bar in bars) / (span * len(slots))
    joined = [_joined(slot, span / max(_MIN_BARS, _MAX_BARS // len(slots))) for slot in slots]
    return {"span": span, "slots": joined, "busy": busy, "total": len(bars), "pauses": found.shown}


def _values(database: Database, query: Query, own: str, columns: Sequence[Column]) -> Iterator[Any]:
    """Columns of the trials that an address asks for, by number."""
    where, binds = query.where()
    expressions = [column.expression() for column in columns]
    listed = ", ".join((own, *(sql for sql, _ in expressions)))
    bound = [bind for _, each in expressions for bind in each]
    yield from database.connection.execute(
        f"SELECT {listed} FROM trials WHERE experiment_id = ? AND {where} ORDER BY number",
        (*bound, database.experiment_id, *binds),
    )


def _sampled(found: Sequence[_Valued], wanted: Collection[int]) -> list[_Valued]:
    """Of very many a random part, so that what is drawn is distributed as all are, with the extremes and `wanted`.

    Chance is that of the number alone: the trials that come do not exchange those that are drawn.
    """
    if len(found) <= _MAX_DRAWN:
        return list(found)
    by_value = sorted(found, key=lambda each: each[1])
    kept = {each[0] for each in (by_value[0], by_value[-1])} | set(wanted)
    by_chance = sorted((each[0] for each in found if each[0] not in kept), key=_chance)
    kept |= set(by_chance[: max(0, _MAX_DRAWN - len(kept))])
    return [each for each in found if each[0] in kept]


def _chance(number: int) -> bytes:
    return hashlib.blake2b(str(number).encode(), digest_size=8).digest()


def _improvements(able: Sequence[tuple[int, float]], objective: Objective) -> list[tuple[int, float]]:
    best: list[tuple[int, float]] = []
    for number, value in able:
        if not best or objective.is_better(value, best[-1][1]):
            best.append((number, value))
    if best and best[-1][0] != able[-1][0]:
        best.append((able[-1][0], best[-1][1]))
    return best


def _limits(values: Sequence[float], objective: Objective) -> tuple[float, float] | None:
    """Where the axis ends, so that a few values that are very bad do not make the others one line."""
    if not values:
        return None
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    near, far = ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]
    reach = 3 * (far - near) if far > near else math.inf
    if objective.direction.value == "min":
        return low, min(high, far + reach)
    return max(low, near - reach), high


def _courses(database: Database, number: int, metric: str) -> list[tuple[int, list[Point]]]:
    sql, binds = Column("", metric, "metrics", metric).expression()
    rows = database.connection.execute(
        f"SELECT replicate, step, {sql} FROM reports WHERE experiment_id = ? AND number = ? "
        "ORDER BY replicate, step",
        (*binds, database.experiment_id, number),
    )
    courses: dict[int, list[Point]] = {}
    for replicate, step, raw in rows:
        value = finite(raw)
        if value is not None:
            courses.setdefault(replicate, []).append((step, value))
    return [(replicate, thinned(points)) for replicate, points in courses.items()]


def thinned(points: Sequence[Point]) -> list[Point]:
    """A curve of at most some hundred points: of each stretch its lowest and its highest, and both ends."""
    if len(points) <= _MAX_POINTS:
        return list(points)
    half = _MAX_POINTS // 2
    kept = {points[0], points[-1]}
    for index in range(half):
        stretch = points[index * len(points) // half : (index + 1) * len(points) // half]
        kept |= {min(stretch, key=lambda each: each[1]), max(stretch, key=lambda each: each[1])}
    return sorted(kept)


def _split(name: str) -> tuple[str, str]:
    for split in ("train", "val", "test"):
        if name.startswith(f"{split}_"):
            return split, name.removeprefix(f"{split}_")
    return "", name


def _axis(column: Column, values: Sequence[Any], searched: Mapping[str, Any]) -> dict[str, Any]:
    """A numerical axis, logarithmic where its space is or its values say so; else the categories."""
    numbers = [number for value in values if (number := finite(value)) is not None]
    axis: dict[str, Any] = {"id": column.id, "title": column.title}
    others = [value for value in values if value is not None and finite(value) is None]
    if numbers and not others:
        low, high = min(numbers), max(numbers)
        spec = searched.get(column.key)
        is_wide = low > 0 and high / low > _LOG_RATIO
        is_log = low > 0 and spec.startswith("tag(log") if isinstance(spec, str) else is_wide
        return {**axis, "kind": "number", "log": is_log, "low": low, "high": high}
    categories = sorted({str(value) for value in values if value is not None})
    return {**axis, "kind": "category", "categories": categories[:_MAX_CATEGORIES]}


def _slots(bars: Sequence[tuple[float, float, int, str]]) -> list[list[tuple[float, float, int, str]]]:
    """Each trial goes to the slot that has been free longest."""
    slots: list[list[tuple[float, float, int, str]]] = []
    for bar in bars:
        free = [slot for slot in slots if slot[-1][1] <= bar[0]]
        if free:
            min(free, key=lambda slot: slot[-1][1]).append(bar)
        else:
            slots.append([bar])
    return slots


def _joined(
    slot: Sequence[tuple[float, float, int, str]], least_s: float
) -> list[tuple[float, float, int, str, int]]:
    """Neighbours that are too narrow to be seen apart become one bar of several trials."""
    joined: list[tuple[float, float, int, str, int]] = []
    for start, end, number, state in slot:
        if joined and end - joined[-1][0] < least_s:
            begun, _, first, known, count = joined[-1]
            joined[-1] = (begun, end, first, known if known == state else "", count + 1)
        else:
            joined.append((start, end, number, state, 1))
    return joined
