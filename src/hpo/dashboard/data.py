"""What the script asks for beside the pages: the numbers of the charts as JSON, logs, and files to keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hpo.dashboard import charts, files
from hpo.dashboard.asked import Asked, found
from hpo.dashboard.importance import Importances
from hpo.dashboard.live import answer, as_json
from hpo.dashboard.store import Stamp, Store, stamp_of, stamp_of_files
from hpo.dashboard.summary import Broken
from hpo.paths import ExperimentPaths

LOG_BYTES = 64_000
_DEFAULT_CURVES = 8
_Find = Callable[[Asked], Any]


class Data:
    """The endpoints; JSON of an experiment that is not there or cannot be read says so as `error`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._importances = Importances()

    def close(self) -> None:
        self._importances.close()

    def history(self, request: Request) -> Response:
        return self._chart(request, lambda asked: charts.history(asked.database, asked.query, asked.objective[1]))

    def curves(self, request: Request) -> Response:
        return self._chart(request, _curves)

    def parallel(self, request: Request) -> Response:
        return self._chart(
            request,
            lambda asked: charts.parallel(
                asked.database, asked.query, asked.summary.objectives, asked.summary.search_space
            ),
        )

    def timeline(self, request: Request) -> Response:
        return self._chart(request, lambda asked: charts.timeline(asked.database, asked.summary.last_seen))

    def curves_of_trial(self, request: Request) -> Response:
        return self._chart(request, lambda asked: charts.curves_of_trial(asked.database, asked.number))

    def importance(self, request: Request) -> Response:
        """Never a 304: it gets ready without any file changing."""

        def find(asked: Asked) -> Any:
            summary = asked.summary
            return self._importances.get(
                asked.paths, asked.objective, summary.num_done, is_running=summary.is_running
            )

        return self._with(request, lambda paths: self._made(request, paths, stamp_of(paths), find))

    def trial_log(self, request: Request) -> Response:
        """The newest lines of train.log."""

        def find(asked: Asked) -> Any:
            return asked.database.of_numbers("number, trial_id", [asked.number])

        def log(paths: ExperimentPaths) -> Response:
            rows = found(request, self._store, paths, stamp_of(paths), find)
            if isinstance(rows, Broken):
                return as_json({"error": rows.told}, 503)
            return self._log(request, paths.trial(rows[0]["trial_id"]).log) if rows else _not_there()

        return self._with(request, log)

    def scheduler_log(self, request: Request) -> Response:
        """The newest lines of mp.log."""
        return self._with(request, lambda paths: self._log(request, paths.log))

    def file(self, request: Request) -> Response:
        """A file of an experiment, to keep and not to look at."""
        return self._with(request, lambda paths: files.download(paths.root, request.path_params["path"]))

    def _log(self, request: Request, path: Path) -> Response:
        inside = self._store.inside(path)

        def make() -> Response:
            return as_json({"text": "" if inside is None else files.tail(inside, LOG_BYTES)})

        return answer(request, stamp_of_files(path), make)

    def _chart(self, request: Request, find: _Find) -> Response:
        """The same numbers for all who ask, as long as nothing changes."""

        def chart(paths: ExperimentPaths) -> Response:
            stamp = stamp_of(paths)
            return answer(request, stamp, lambda: self._made(request, paths, stamp, find))

        return self._with(request, chart)

    def _made(self, request: Request, paths: ExperimentPaths, stamp: Stamp, find: _Find) -> Response:
        made = found(request, self._store, paths, stamp, find)
        return as_json({"error": made.told}, 503) if isinstance(made, Broken) else as_json(made)

    def _with(self, request: Request, then: Callable[[ExperimentPaths], Response]) -> Response:
        paths = self._store.experiment(request.path_params["experiment_id"])
        return _not_there() if paths is None else then(paths)


def _curves(asked: Asked) -> Any:
    query = asked.query
    start = (query.page - 1) * query.size
    numbers = query.chosen or asked.numbers[start : start + _DEFAULT_CURVES]
    return charts.curves(asked.database, numbers, query.others.get("curve", asked.summary.names[0]))


def _not_there() -> Response:
    return as_json({"error": "It is not there."}, 404)
