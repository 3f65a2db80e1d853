"""What an address asks of the trial table: filters, order, page, columns and the chosen trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from hpo.dashboard.columns import Column, Columns
from hpo.objectives import spread_name
from hpo.records import State

SIZES = (25, 50, 100, 250)
DEFAULT_SIZE = 25
MAX_CHOSEN = 12
# what the charts are to show
OTHERS = ("curve", "objective", "log")
_MAX_PARAMS_SHOWN = 8
_MAX_METRICS_SHOWN = 4
_MAX_FILTERS = 20
_MAX_COLUMNS = 60
OPERATORS = {"<=": "≤", ">=": "≥", "!=": "≠", "=": "=", "~": "contains"}
_IS_NUMBER = "typeof({value}) IN ('integer', 'real')"


@dataclass(frozen=True)
class Filter:
    """One condition of the form `<column><operator><value>`, as `params.optimizer_config.lr<=0.01`."""

    column: Column
    operator: str
    value: str

    @property
    def text(self) -> str:
        return f"{self.column.id}{self.operator}{self.value}"

    @property
    def shown(self) -> str:
        return f"{self.column.title} {OPERATORS[self.operator]} {self.value}"

    def condition(self) -> tuple[str, tuple[Any, ...]]:
        sql, binds = self.column.expression()
        if self.operator == "~":
            return f"INSTR(LOWER(COALESCE({sql}, '')), LOWER(?)) > 0", (*binds, self.value)
        wanted = _typed(self.value)
        if self.operator in ("=", "!="):
            compared = "IS" if self.operator == "=" else "IS NOT"
            return f"{sql} {compared} ?", (*binds, wanted)
        kind = _IS_NUMBER.format(value=sql) if isinstance(wanted, float) else "1"
        doubled = binds if isinstance(wanted, float) else ()
        return f"({kind} AND {sql} {self.operator} ?)", (*doubled, *binds, wanted)


@dataclass(frozen=True)
class Query:
    """The part of an address behind the question mark, held against the columns that there are.

    What it names and there is not is left out, and said in `ignored`.
    """

    columns: Columns
    sort: Column
    shown: tuple[Column, ...]
    has_default_columns: bool = True
    states: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    text: str = ""
    is_descending: bool = False
    page: int = 1
    size: int = DEFAULT_SIZE
    chosen: tuple[int, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: QueryParams, columns: Columns, objectives: Sequence[str]) -> Query:
        ignored: list[str] = []
        filters = []
        for text in given.getlist("where")[:_MAX_FILTERS]:
            found = parsed_filter(text, columns)
            filters += [found] if found is not None else []
            ignored += [] if found is not None else [f"the filter {text}"]
        states = tuple(name for name in given.getlist("state") if name in State.__members__)
        ignored += [f"the state {name}" for name in given.getlist("state") if name not in states]
        sort = columns.by_id.get(given.get("sort", "number"))
        if sort is None:
            ignored.append(f"the order by {given['sort']}")
        asked = [columns.by_id[name] for name in given.getlist("column") if name in columns.by_id]
        ignored += [f"the column {name}" for name in given.getlist("column") if name not in columns.by_id]
        others = {name: given[name] for name in OTHERS if given.get(name)}
        for name, known in (("objective", objectives), ("curve", [column.key for column in columns.metrics])):
            if others.get(name) not in (None, *known):
                ignored.append(f"the {name} {others.pop(name)}")
        trials = {text: _whole(text, -1) for text in given.getlist("trial")}
        ignored += [f"the trial {text}" for text, number in trials.items() if number < 0]
        return cls(
            columns,
            sort=sort or columns.by_id["number"],
            shown=tuple(asked[:_MAX_COLUMNS]) or _default(columns, objectives),
            has_default_columns=not asked,
            states=states,
            filters=tuple(filters),
            text=given.get("text", ""),
            is_descending=given.get("order") == "desc",
            page=max(1, _whole(given.get("page", ""), 1)),
            size=_size(given.get("size", "")),
            chosen=tuple(number for number in dict.fromkeys(trials.values()) if number >= 0)[:MAX_CHOSEN],
            others=others,
            ignored=tuple(ignored),
        )

    def where(self) -> tuple[str, tuple[Any, ...]]:
        """SQL of all conditions, to follow `experiment_id = ?`, and what is bound to it."""
        conditions, binds = ["1"], list[Any]()
        if self.states:
            conditions.append(f"state IN ({','.join('?' * len(self.states))})")
            binds += self.states
        for each in self.filters:
            sql, bound = each.condition()
            conditions.append(sql)
            binds += bound
        if self.text:
            conditions.append(
                "INSTR(LOWER(trial_id || ' ' || params || ' ' || COALESCE(reason, '')), LOWER(?)) > 0"
            )
            binds.append(self.text)
        return " AND ".join(conditions), tuple(binds)

    def order(self) -> tuple[str, tuple[Any, ...], str]:
        """What to sort by, what is bound to that, and the order: numbers, then text, then what there is not."""
        sql, binds = self.sort.expression()
        way = "DESC" if self.is_descending else "ASC"
        kind = f"CASE WHEN {_IS_NUMBER.format(value='sorted')} THEN 0 WHEN sorted IS NULL THEN 2 ELSE 1 END"
        return sql, binds, f"{kind}, sorted {way}, number {way}"

    def link(self, **changes: Any) -> str:
        """The address of the same table with something changed; the first page unless that is the change."""
        return f"?{urlencode(self.items(**changes))}"

    def items(self, **changes: Any) -> list[tuple[str, str]]:
        """What an address holds of it; a change of None leaves that out."""
        own: dict[str, Any] = {
            "state": self.states,
            "where": [each.text for each in self.filters],
            "text": self.text,
            "sort": self.sort.id if self.sort.id != "number" else "",
            "order": "desc" if self.is_descending else "",
            "size": self.size if self.size != DEFAULT_SIZE else "",
            "column": [] if self.has_default_columns else [column.id for column in self.shown],
            "trial": self.chosen,
            **self.others,
        }
        items = []
        for name, value in {**own, **changes}.items():
            several = value if isinstance(value, list | tuple) else [value]
            items += [(name, str(each)) for each in several if each not in (None, "")]
        return items

    def sorted_by(self, column: Column) -> str:
        """The link of a heading: that column, and the other way round where it is that already."""
        is_turned = self.sort == column and not self.is_descending
        return self.link(sort=column.id if column.id != "number" else "", order="desc" if is_turned else "")

    def aria_sort(self, column: Column) -> str:
        if self.sort != column:
            return "none"
        return "descending" if self.is_descending else "ascending"

    def toggled_state(self, name: str) -> str:
        left = [state for state in self.states if state != name]
        return self.link(state=left if name in self.states else [*self.states, name])

    def without(self, dropped: Filter) -> str:
        return self.link(where=[each.text for each in self.filters if each != dropped])

    @property
    def is_filtered(self) -> bool:
        return bool(self.states or self.filters or self.text)


def parsed_filter(text: str, columns: Columns) -> Filter | None:
    """None where it names no column. Of columns whose names begin alike the longest is meant."""
    for at in range(len(text), 0, -1):
        column = columns.by_id.get(text[:at])
        operator = next((each for each in OPERATORS if text.startswith(each, at)), None)
        if column is not None and operator is not None:
            return Filter(column, operator, text[at + len(operator) :].strip())
    return None


def _default(columns: Columns, objectives: Sequence[str]) -> tuple[Column, ...]:
    """The objectives, the other validation metrics, the parameters, and how long it took."""
    first = [columns.metric(name) for name in objectives]
    spreads = {spread_name(column.key) for column in columns.metrics}
    rest = [
        column
        for column in columns.metrics
        if column.key.startswith("val_") and column.key not in spreads and column not in first
    ]
    metrics = [*first, *rest][: max(_MAX_METRICS_SHOWN, len(first))]
    return (*metrics, *columns.params[:_MAX_PARAMS_SHOWN], columns.by_id["duration"])


def _typed(text: str) -> Any:
    """A value as SQLite finds it in JSON: numbers as such, true and false as 1 and 0."""
    named = {"null": None, "true": 1, "false": 0}
    if text in named:
        return named[text]
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _whole(text: str, otherwise: int) -> int:
    # no more digits than SQLite's integers have
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else otherwise


def _size(text: str) -> int:
    asked = _whole(text, DEFAULT_SIZE)
    return asked if asked in SIZES else DEFAULT_SIZE
