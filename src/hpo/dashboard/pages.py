"""The pages: home, an experiment, a trial, and trials side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hpo.dashboard import files
from hpo.dashboard.asked import Asked, found
from hpo.dashboard.database import Database
from hpo.dashboard.diffs import defaults_of, differences, mapping_of
from hpo.dashboard.live import answer
from hpo.dashboard.query import MAX_CHOSEN, OPERATORS, SIZES
from hpo.dashboard.rendering import Templates
from hpo.dashboard.store import Store, stamp_of
from hpo.dashboard.summary import Broken, Summary, summary_of
from hpo.dashboard.table import differing, page_of, rows_of
from hpo.paths import ExperimentPaths, TrialPaths
from hpo.shell import resume_command

LOG_BYTES = 64_000
_MAX_FILES = 200
_MAX_THREADS = 8
_REPLICATES = (
    "SELECT replicate, random_seed, state, metrics, reason FROM replicates "
    "WHERE experiment_id = ? AND number = ? ORDER BY replicate"
)


class Pages:
    """Each method is one page; `templates` has one of the same name."""

    def __init__(self, store: Store, templates: Templates) -> None:
        self._store = store
        self._templates = templates

    def home(self, request: Request) -> Response:
        """All experiments; where the directory is one, that."""
        if self._store.is_one:
            return RedirectResponse(_address(self._store.experiments()[0]), 303)
        found = [(paths, stamp_of(paths)) for paths in self._store.experiments()]

        def make() -> Response:
            # one that is held keeps the others waiting for no more than its own time
            with ThreadPoolExecutor(_MAX_THREADS) as pool:
                summaries = list(pool.map(lambda each: summary_of(self._store, *each), found))
            # those that run first, then the newest
            summaries.sort(key=lambda each: (not each.is_running, -_began(each)))
            return self._templates.page(
                request, "home", experiments=summaries, directory=str(self._store.directory)
            )

        return answer(request, tuple((paths.root, stamp) for paths, stamp in found), make)

    def experiment(self, request: Request) -> Response:
        added = _added(request.query_params)
        if added is not None:
            return RedirectResponse(f"{request.url.path}?{added}", 303)
        return self._page(request, "experiment", self._experiment)

    def trial(self, request: Request) -> Response:
        return self._page(request, "trial", self._trial)

    def compare(self, request: Request) -> Response:
        return self._page(request, "compare", self._compare)

    def not_there(self, request: Request, told: str) -> Response:
        return self._templates.page(request, "not_there", 404, told=told, home=None)

    def _page(self, request: Request, name: str, find: Callable[[Asked], dict[str, Any] | None]) -> Response:
        paths = self._store.experiment(request.path_params["experiment_id"])
        if paths is None:
            return self.not_there(request, "There is no such experiment.")
        stamp = stamp_of(paths)
        frame: dict[str, Any] = {"home": None if self._store.is_one else "/", "base": _address(paths)}

        def filled(asked: Asked) -> Response:
            context = find(asked)
            if context is None:
                return self.not_there(request, "There is no such trial.")
            return self._templates.page(request, name, summary=asked.summary, **frame, **context)

        def make() -> Response:
            page = found(request, self._store, paths, stamp, filled)
            if isinstance(page, Broken):
                log = self._tail(paths.log) or ""
                return self._templates.page(request, "broken", summary=page, log=log, **frame)
            return page

        return answer(request, stamp, make)

    def _experiment(self, asked: Asked) -> dict[str, Any]:
        return {
            "query": asked.query,
            "table": page_of(asked.database, asked.query, asked.numbers),
            "best": {each.row.number for each in asked.summary.best} | set(asked.summary.pareto),
            "operators": OPERATORS,
            "sizes": SIZES,
            "resume": resume_command(asked.paths.root),
        }

    def _trial(self, asked: Asked) -> dict[str, Any] | None:
        database, number = asked.database, asked.number
        rows = rows_of(database, [number])
        if not rows:
            return None
        (row,) = rows
        (texts,) = database.of_numbers("number, config, traceback", [number])
        defaults, told = defaults_of(database, self._store.inside(asked.paths.config))
        of_trial = asked.paths.trial(row.trial_id)
        return {
            "row": row,
            "traceback": texts["traceback"],
            "differences": differences(defaults, mapping_of(texts["config"]), row.params),
            "has_config": texts["config"] is not None,
            "config_told": told,
            "config_name": asked.paths.config.name,
            "log_name": of_trial.log.name,
            "log": self._tail(of_trial.log),
            "saved": self._files(asked.paths, of_trial),
            "neighbours": _neighbours(database, number),
            "is_best": number in {each.row.number for each in asked.summary.best},
            "replicates": [(each, mapping_of(each["metrics"])) for each in database.rows(_REPLICATES, number)],
        }

    def _compare(self, asked: Asked) -> dict[str, Any]:
        rows = rows_of(asked.database, asked.query.chosen)
        columns = [*asked.query.columns.metrics, *asked.query.columns.params]
        columns = [column for column in columns if any(row.has(column) for row in rows)]
        return {
            "query": asked.query,
            "rows": rows,
            "missing": sorted({*asked.query.chosen} - {row.number for row in rows}),
            "columns": columns,
            "differing": differing(rows, columns),
            "max_chosen": MAX_CHOSEN,
        }

    def _tail(self, path: Path) -> str | None:
        """The newest lines of a log; None where there is none."""
        inside = self._store.inside(path)
        return None if inside is None else files.tail(inside, LOG_BYTES)

    def _files(self, paths: ExperimentPaths, trial: TrialPaths) -> list[tuple[str, list[tuple[str, str, int]]]]:
        """What can be downloaded of a trial, by kind: its path in the experiment, its name and its size."""
        groups = {
            "best checkpoint": trial.best_checkpoints.glob("*.pt"),
            "newest checkpoints": trial.checkpoints.glob("*.pt"),
            "records": (trial.results, trial.results_csv, trial.config, trial.metadata, trial.log),
        }
        found = []
        for kind, candidates in groups.items():
            listed = []
            for path in sorted(candidates)[:_MAX_FILES]:
                real = self._store.inside(path)
                if real is not None:
                    listed.append((path.relative_to(paths.root).as_posix(), path.name, real.stat().st_size))
            found += [(kind, listed)] if listed else []
        return found


def _neighbours(database: Database, number: int) -> tuple[int | None, int | None]:
    before = database.row("SELECT MAX(number) FROM trials WHERE experiment_id = ? AND number < ?", number)
    after = database.row("SELECT MIN(number) FROM trials WHERE experiment_id = ? AND number > ?", number)
    return (before[0] if before else None), (after[0] if after else None)


def _address(paths: ExperimentPaths) -> str:
    return f"/experiments/{quote(paths.experiment_id)}"


def _began(summary: Summary | Broken) -> float:
    started = summary.started if isinstance(summary, Summary) else None
    return started.timestamp() if started is not None else 0.0


def _added(given: QueryParams) -> str | None:
    """The address with the filter that a form has named in parts; None where there is none."""
    if "add" not in given:
        return None
    kept = [
        (name, value) for name, value in given.multi_items() if name not in ("add", "operator", "value", "page")
    ]
    operator = given.get("operator", "=")
    if given["add"] and given.get("value") and operator in OPERATORS:
        kept.append(("where", f"{given['add']}{operator}{given['value']}"))
    return str(QueryParams(kept))
