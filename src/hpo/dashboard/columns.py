"""What a trial table can show, sort by and filter: the only names that a request may use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.dashboard.database import Database
from hpo.objectives import PROGRESS

_DURATION = "(julianday(ended_at) - julianday(started_at)) * 86400.0"
# SQL is written here alone; what comes from a request or a database is bound to it
_OWN = {
    "number": ("trial", "number"),
    "state": ("state", "state"),
    "started": ("started", "started_at"),
    "duration": ("duration", _DURATION),
    "attempt": ("attempt", "attempt"),
    "device": ("device", "device"),
    "reason": ("reason", "reason"),
}
_JSON = {"params": "params", "metrics": "metrics", "test": "test_metrics"}
_MAX_SAMPLED = 100
_MAX_SCANNED_BYTES = 50_000_000


@dataclass(frozen=True)
class Column:
    """`id` as an address spells it, `title` as the table does; `key` within a column of JSON.

    A parameter's title is as much of the end of its key as no other one has.
    """

    id: str
    title: str
    source: str
    key: str = ""

    @property
    def is_param(self) -> bool:
        return self.source == "params"

    @property
    def is_metric(self) -> bool:
        return self.source in ("metrics", "test_metrics")

    def expression(self) -> tuple[str, tuple[str, ...]]:
        """SQL for its value, and what is bound to it."""
        if not self.key:
            return _OWN[self.id][1], ()
        if '"' in self.key or "\\" in self.key:
            # no path can name it
            return f"(SELECT value FROM json_each({self.source}) WHERE key = ? LIMIT 1)", (self.key,)
        return f"json_extract({self.source}, ?)", (f'$."{self.key}"',)


@dataclass(frozen=True)
class Columns:
    """All columns of an experiment, by id."""

    by_id: Mapping[str, Column]

    @classmethod
    def of(cls, params: Iterable[str], metrics: Iterable[str], test: Iterable[str]) -> Columns:
        own = [Column(name, title, "own") for name, (title, _) in _OWN.items()]
        params = list(params)
        titles = _titles(params)
        keyed = [
            Column(f"{kind}.{key}", titles[key] if kind == "params" else key, _JSON[kind], key)
            for kind, keys in (("metrics", metrics), ("test", test), ("params", params))
            for key in keys
        ]
        return cls({column.id: column for column in (*own, *keyed)})

    @property
    def params(self) -> list[Column]:
        return [column for column in self.by_id.values() if column.is_param]

    @property
    def metrics(self) -> list[Column]:
        return [column for column in self.by_id.values() if column.is_metric]

    @property
    def own(self) -> list[Column]:
        return [column for column in self.by_id.values() if column.source == "own"]

    def metric(self, name: str) -> Column:
        return self.by_id.get(f"metrics.{name}") or Column(f"metrics.{name}", name, "metrics", name)


class ColumnsSeen:
    """The columns of one experiment, as its trials come: the parameters of each are looked at once."""

    def __init__(self) -> None:
        self._params: dict[str, None] = {}
        self._newest = -1

    def update(self, database: Database, objectives: Sequence[str]) -> Columns:
        newest = database.rows("SELECT MAX(number) AS number FROM trials WHERE experiment_id = ?")[0]["number"]
        if newest is not None and newest > self._newest:
            self._params |= dict.fromkeys(_params_after(database, self._newest))
            self._newest = newest
        metrics = dict.fromkeys([*objectives, *_metrics(database, "trials"), *_metrics(database, "reports")])
        return Columns.of(self._params, metrics, _test_metrics(database))


def _titles(keys: Sequence[str]) -> dict[str, str]:
    """The shortest ends of dotted keys that tell them apart."""
    ends = Counter(end for key in keys for end in _ends(key))
    return {key: next((end for end in _ends(key) if ends[end] == 1), key) for key in keys}


def _ends(key: str) -> list[str]:
    """`a.b.c` gives `c`, `b.c` and `a.b.c`."""
    parts = key.split(".")
    return [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]


def _params_after(database: Database, number: int) -> list[str]:
    """The keys of the trials beyond a number; of very many long ones, those of a part of them."""
    where = "experiment_id = ? AND number > ?"
    size: Any = database.rows(f"SELECT COUNT(*), SUM(LENGTH(params)) FROM trials WHERE {where}", number)[0]
    every = 1 + (size[1] or 0) // _MAX_SCANNED_BYTES
    rows = database.rows(
        "SELECT DISTINCT entry.key FROM trials, json_each(trials.params) AS entry "
        f"WHERE {where} AND number % ? = 0",
        number,
        every,
    )
    return [str(row[0]) for row in rows]


def _metrics(database: Database, table: str) -> list[str]:
    """The metrics of the newest trials or reports: all have the same, but for those that ended early."""
    # the other indexes of reports would have all of them sorted
    source, order = ("reports NOT INDEXED", "id") if table == "reports" else ("trials", "number")
    return _keys(
        database,
        f"SELECT metrics AS text FROM {source} WHERE experiment_id = ? AND metrics IS NOT NULL "
        f"ORDER BY {order} DESC LIMIT {_MAX_SAMPLED}",
    )


def _test_metrics(database: Database) -> list[str]:
    """Those of the best trials, which alone are tested."""
    return _keys(
        database,
        "SELECT test_metrics AS text FROM experiments JOIN json_each(experiments.best_trials) AS best "
        "JOIN trials ON trials.experiment_id = experiments.experiment_id AND trials.number = best.value "
        "WHERE experiments.experiment_id = ? AND test_metrics IS NOT NULL",
    )


def _keys(database: Database, texts: str) -> list[str]:
    rows = database.rows(f"SELECT DISTINCT entry.key FROM ({texts}) AS found, json_each(found.text) AS entry")
    return [str(row[0]) for row in rows if row[0] not in PROGRESS]
