"""TensorBoard on the event files of one experiment, in this process: no server and no port of its own."""

from __future__ import annotations

import logging
import os
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hpo.dashboard.mounts import Environ, StartResponse, WsgiApp, redirect, respond

_logger = logging.getLogger(__name__)
_FIRST_LOAD_S = 3.0
_RELOAD_S = 5.0
# so long after the last request nothing is read any more, until the next one
_IDLE_S = 60.0
_EVENTS = "tfevents"
FONTS = "/font-roboto"
# asks in the address what it otherwise asks by POST, which is not served
_BY_GET = "tensorboardColab=true"
# the folders of those plugins that show what trials write; the others read files that event files name, or lead to
# another package
_PLUGINS = {"audio", "core", "custom_scalar", "distribution", "graph", "histogram", "hparams", "image", "mesh"} | {
    "metrics",
    "pr_curve",
    "scalar",
    "text",
}


def make(root: Path, prefix: str) -> WsgiApp:
    """TensorBoard of the experiment in `root`, below `prefix`. Importing it takes seconds."""
    from tensorboard import default, program
    from tensorboard.backend import application
    from tensorboard.backend.event_processing.data_ingester import LocalDataIngester

    plugins = [plugin for plugin in default.get_static_plugins() if _module(plugin).split(".")[-2] in _PLUGINS]
    board = program.TensorBoard(plugins=plugins)
    board.configure(
        logdir=str(root), path_prefix=prefix, load_fast="false", window_title=prefix.rpartition("/")[2]
    )
    ingester = LocalDataIngester(board.flags)
    app = application.TensorBoardWSGIApp(
        board.flags,
        board.plugin_loaders,
        ingester.data_provider,
        board.assets_zip_provider,
        ingester.deprecated_multiplexer,
    )
    return _Following(app, prefix, Runs(root, ingester.deprecated_multiplexer))


def send_font(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A WSGI application of the fonts in TensorBoard's package."""
    font = _fonts().get(environ["PATH_INFO"])
    if font is None:
        return respond(start_response, "404 Not Found", "There is no such font.")
    caching = ("Cache-Control", "private, max-age=86400")
    start_response("200 OK", [("Content-Type", "font/woff2"), ("Content-Length", str(len(font))), caching])
    return [font]


@cache
def _fonts() -> dict[str, bytes]:
    from tensorboard import assets

    with zipfile.ZipFile(assets.get_default_assets_zip_provider()()) as archive:
        return {
            f"/{name}": archive.read(name) for name in archive.namelist() if f"/{name}".startswith(f"{FONTS}/")
        }


def _module(plugin: Any) -> str:
    """Where a plugin, or what loads it, is defined."""
    return str((plugin if isinstance(plugin, type) else type(plugin)).__module__)


class _Following:
    """TensorBoard while its data is kept new."""

    def __init__(self, app: WsgiApp, prefix: str, runs: Runs) -> None:
        self._app = app
        self._start = f"{quote(prefix)}/?{_BY_GET}"
        self._root = f"{prefix}/".encode().decode("latin-1")
        self._runs = runs

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        is_start = environ["PATH_INFO"] == self._root
        if is_start and _BY_GET not in environ["QUERY_STRING"].split("&"):
            rest = f"&{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
            return redirect(start_response, f"{self._start}{rest}")
        self._runs.follow()
        return self._app(environ, start_response)


class Runs:
    """The runs that TensorBoard shows: folders of event files, read anew in a thread as long as somebody asks."""

    def __init__(self, root: Path, multiplexer: Any) -> None:
        self._root = root
        self._multiplexer = multiplexer
        self._asked = 0.0
        self._is_followed = False
        self._lock = threading.Lock()
        self._is_loaded = threading.Event()

    def follow(self) -> None:
        """Read on for a while; the first time this waits a moment, so that what is small is there at once."""
        with self._lock:
            self._asked = time.monotonic()
            if not self._is_followed:
                self._is_followed = True
                threading.Thread(target=self._read_on, name="tensorboard", daemon=True).start()
        self._is_loaded.wait(_FIRST_LOAD_S)

    def _read_on(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self.load()
            except Exception as error:  # whatever a damaged file raises, the next time may go better
                _logger.warning("TensorBoard could not read %s: %s", self._root, error)
            self._is_loaded.set()
            time.sleep(max(_RELOAD_S, 2 * (time.monotonic() - began)))
            with self._lock:
                if time.monotonic() - self._asked > _IDLE_S:
                    self._is_followed = False
                    return

    def load(self) -> None:
        for path in event_folders(self._root):
            self._multiplexer.AddRun(str(path), str(path.relative_to(self._root)))
        self._multiplexer.Reload()


def event_folders(root: Path) -> Iterator[Path]:
    """The folders below `root` that hold event files; no link is followed, and none among the files is read."""
    for folder, inner, names in os.walk(root, followlinks=False):
        inner.sort()
        events = [os.path.join(folder, name) for name in names if _EVENTS in name]  # noqa: PTH118 - of many files
        if events and not any(map(os.path.islink, events)):
            yield Path(folder)
