"""What a request asks of one experiment, with the database open in which the answer is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from starlette.requests import Request

from hpo.dashboard.columns import ColumnsSeen
from hpo.dashboard.database import Database, UnreadableError, opened
from hpo.dashboard.query import Query
from hpo.dashboard.store import Stamp, Store
from hpo.dashboard.summary import Broken, Summary, broken, summary_of
from hpo.dashboard.table import numbers_of
from hpo.objectives import Objective
from hpo.paths import ExperimentPaths

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Asked:
    """A request of an experiment that can be read; `stamp` is of the files before anything of them was."""

    request: Request
    store: Store
    paths: ExperimentPaths
    stamp: Stamp
    summary: Summary
    database: Database

    @cached_property
    def query(self) -> Query:
        """The address, held against the columns of the experiment."""
        root, names, kept = self.paths.root, self.summary.names, self.store.kept
        seen = kept.get(("columns seen", root), (), ColumnsSeen)
        columns = kept.get(("columns", root), self.stamp, lambda: seen.update(self.database, names))
        return Query.of(self.request.query_params, columns, names)

    @property
    def numbers(self) -> list[int]:
        """The trials that the address asks for, in its order: found once for all pages of the table."""
        query = self.query
        key = ("numbers", self.paths.root, query.where(), query.order())
        return self.store.kept.get(key, self.stamp, lambda: numbers_of(self.database, query))

    @property
    def number(self) -> int:
        """The trial that the address names."""
        number: int = self.request.path_params["number"]
        return number

    @property
    def objective(self) -> tuple[int, Objective]:
        """The objective that the address names, or else the first."""
        wanted = self.query.others.get("objective")
        found = [(index, each) for index, each in enumerate(self.summary.objectives) if each.name == wanted]
        return found[0] if found else (0, self.summary.objectives[0])


def found(
    request: Request, store: Store, paths: ExperimentPaths, stamp: Stamp, find: Callable[[Asked], _Found]
) -> _Found | Broken:
    """What `find` makes of it; of an experiment that cannot be read, what is wrong."""
    summary = summary_of(store, paths, stamp)
    if isinstance(summary, Broken):
        return summary
    try:
        with opened(paths) as database:
            return find(Asked(request, store, paths, stamp, summary, database))
    except UnreadableError as error:
        return broken(paths, error)
