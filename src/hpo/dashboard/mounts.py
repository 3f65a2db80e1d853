"""`/optuna/<experiment_id>/` and `/tensorboard/<experiment_id>/`: other tools, mounted for each experiment."""

from __future__ import annotations

import html
import json
import sqlite3
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from hpo.dashboard import files
from hpo.dashboard.asgi import HTML, TEXT, App, Receive, Scope, Send, answer
from hpo.dashboard.safety import METHODS, ONLY_READS
from hpo.errors import HpoError

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]
# makes the application of the experiment in a directory, which will be asked below a prefix
Make = Callable[[Path, str], WsgiApp]

_MAX_OPEN = 16


def mounted(app: App, directory: Path) -> App:
    """`app` with optuna-dashboard and TensorBoard beside it, on the experiments in `directory`."""
    from a2wsgi import WSGIMiddleware

    from hpo.dashboard import optuna_mount, tensorboard_mount

    mounts: dict[str, Any] = {
        prefix: WSGIMiddleware(cast(Any, PerExperiment(prefix, directory, make)))
        for prefix, make in (("/optuna", optuna_mount.make), ("/tensorboard", tensorboard_mount.make))
    }
    # TensorBoard's styles look for them at the root of the address
    mounts[tensorboard_mount.FONTS] = WSGIMiddleware(cast(Any, tensorboard_mount.send_font))

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            start = "/" + scope["path"].split("/")[1] if "/" in scope["path"] else ""
            if start in mounts:
                await mounts[start]({**scope, "root_path": ""}, receive, send)
                return
            if scope["path"] == "/favicon.ico":
                # what a browser asks for where a page names no icon
                await answer(scope, send, 204, "")
                return
        await app(scope, receive, send)

    return serve


class PerExperiment:
    """Answers below `prefix` with the application of the experiment that the address names.

    An application is made when it is first asked for, in the thread of that request; those that were not asked for
    longest are forgotten.
    """

    def __init__(self, prefix: str, directory: Path, make: Make) -> None:
        self._prefix = prefix
        self._directory = directory
        self._make = make
        self._apps: OrderedDict[str, WsgiApp] = OrderedDict()
        self._making = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.errors"] = sys.stderr
        if environ["REQUEST_METHOD"] not in METHODS:
            return respond(start_response, "405 Method Not Allowed", json.dumps({"reason": ONLY_READS}))
        experiment_id, slash, _ = environ["PATH_INFO"].removeprefix(self._prefix).lstrip("/").partition("/")
        experiment_id = experiment_id.encode("latin-1").decode("utf-8", errors="replace")
        if not experiment_id:
            return self._choice(start_response)
        root = files.experiment(self._directory, experiment_id)
        if root is None:
            return respond(start_response, "404 Not Found", "There is no such experiment.")
        prefix = f"{self._prefix}/{experiment_id}"
        if not slash:
            return redirect(start_response, f"{quote(prefix)}/")
        try:
            return self._app(root, prefix)(environ, start_response)
        except HpoError as error:
            return respond(start_response, "503 Service Unavailable", str(error))

    def _app(self, root: Path, prefix: str) -> WsgiApp:
        with self._making:
            if prefix not in self._apps:
                self._apps[prefix] = self._make(root, prefix)
            self._apps.move_to_end(prefix)
            while len(self._apps) > _MAX_OPEN:
                self._apps.popitem(last=False)
            return self._apps[prefix]

    def _choice(self, start_response: StartResponse) -> Iterable[bytes]:
        found = [f"{self._prefix}/{experiment_id}/" for experiment_id in files.experiments(self._directory)]
        if len(found) == 1:
            return redirect(start_response, quote(found[0]))
        links = "".join(f'<li><a href="{html.escape(quote(path))}">{html.escape(path)}</a>' for path in found)
        page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>hpo dashboard</title><ul>{links}</ul>'
        return respond(start_response, "200 OK", page, HTML)


def respond(
    start_response: StartResponse,
    status: str,
    body: str,
    content_type: str = TEXT,
    headers: Sequence[tuple[str, str]] = (),
) -> Iterable[bytes]:
    """A whole response of a WSGI application."""
    content = body.encode()
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(content))), *headers])
    return [content]


def redirect(start_response: StartResponse, address: str) -> Iterable[bytes]:
    return respond(start_response, "302 Found", "", headers=[("Location", address)])


def of_database(error: BaseException | None) -> sqlite3.Error | None:
    """The error of SQLite that another one comes from: the file is locked, damaged, or no database."""
    while error is not None and not isinstance(error, sqlite3.Error):
        error = error.__cause__ or error.__context__
    return error
