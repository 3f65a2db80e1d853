"""The pages of the dashboard, as a Starlette application; it answers GET and HEAD alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from hpo.dashboard.data import Data
from hpo.dashboard.pages import Pages
from hpo.dashboard.rendering import Templates
from hpo.dashboard.store import Store

_STATIC = Path(__file__).parent / "static"
_EXPERIMENT = "/experiments/{experiment_id}"
_TRIAL = f"{_EXPERIMENT}/trials/{{number:int}}"


def create_app(directory: Path) -> Starlette:
    """The pages on the experiments in `directory`, or on the one that it is."""
    store, templates = Store.of(directory), Templates()
    pages, data = Pages(store, templates), Data(store)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        data.close()

    endpoints: dict[str, Callable[[Request], Response]] = {
        "/": pages.home,
        _EXPERIMENT: pages.experiment,
        f"{_EXPERIMENT}/compare": pages.compare,
        f"{_EXPERIMENT}/log": data.scheduler_log,
        f"{_EXPERIMENT}/data/history": data.history,
        f"{_EXPERIMENT}/data/curves": data.curves,
        f"{_EXPERIMENT}/data/importance": data.importance,
        f"{_EXPERIMENT}/data/parallel": data.parallel,
        f"{_EXPERIMENT}/data/timeline": data.timeline,
        f"{_EXPERIMENT}/files/{{path:path}}": data.file,
        _TRIAL: pages.trial,
        f"{_TRIAL}/log": data.trial_log,
        f"{_TRIAL}/data/curves": data.curves_of_trial,
    }
    # they are no coroutines: each runs in a thread, so that one that waits for a database keeps no other waiting
    routes: list[Any] = [Route(path, endpoint, methods=["GET"]) for path, endpoint in endpoints.items()]
    routes.append(Mount("/static", _Static(directory=_STATIC), name="static"))

    def not_found(request: Request, _: Exception) -> Response:
        return pages.not_there(request, "There is no such page.")

    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: not_found})


class _Static(StaticFiles):
    """Asked for anew with each page, and sent only when it has changed."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["cache-control"] = "no-cache"
        return response
