"""optuna-dashboard on the study of one experiment, which it cannot write."""

from __future__ import annotations

import gzip
import hashlib
import logging
import sqlite3
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from hpo.dashboard.mounts import Environ, StartResponse, WsgiApp, of_database, redirect
from hpo.errors import ExperimentError, HpoError
from hpo.paths import ExperimentPaths
from hpo.stored import is_there, reading

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_BUSY_TIMEOUT_S = 2.0
# 10,000 trials take some seconds; a writer that a reader could keep waiting gives up after a minute
_MAX_READING_S = 45.0
_STEPS_BETWEEN_LOOKS = 100_000
_BUNDLE = "/static/bundle.js"
_PREFIX = b"HPO_PREFIX"
# optuna-dashboard lives at the root of an address: what its script spells absolutely, and below a prefix
_ADDRESSES = {
    # it compares this with what it has decoded of the address
    b'url_prefix:"/dashboard"': b'url_prefix:decodeURIComponent(%s)+"/dashboard"' % _PREFIX,
    b"`${this.baseURL}/": b"`${%s}/" % _PREFIX,
}
_FURTHER_ADDRESSES = {
    b"`/csv/${": b"`${%s}/csv/${" % _PREFIX,
    b"`/artifacts/${": b"`${%s}/artifacts/${" % _PREFIX,
}
# /optuna/<experiment_id>
_FIRST_LINE = b'const %s = location.pathname.split("/").slice(0, 3).join("/");\n' % _PREFIX


def make(root: Path, prefix: str) -> WsgiApp:
    """optuna-dashboard of the experiment in `root`, below `prefix`.

    Raises ExperimentError where the study cannot be read, HpoError for a version that takes no prefix.
    """
    import optuna_dashboard

    bundle()
    # what a request failed at is in its response, and would be told anew every few seconds
    logging.getLogger("optuna_dashboard").setLevel(logging.CRITICAL)
    path = ExperimentPaths.of(root).study_db
    storage = read_only_storage(path)
    try:
        app: Any = optuna_dashboard.wsgi(storage)
        studies = storage.get_all_studies()
    except Exception as error:
        raise unreadable(path, error) from error
    app.catchall = False
    return _Prefixed(app, prefix, f"studies/{studies[0]._study_id}" if studies else "", path)


def read_only_storage(path: Path) -> RDBStorage:
    """The study in `path`, by connections that cannot write, last as long as one question, and are never kept."""
    from optuna.storages import RDBStorage
    from sqlalchemy.pool import NullPool

    if not is_there(path):
        raise ExperimentError(f"{path} is not there: the experiment has no study")
    try:
        return RDBStorage(
            "sqlite://",
            engine_kwargs={"creator": lambda: _connection(path), "poolclass": NullPool},
            skip_compatibility_check=True,
            skip_table_creation=True,
        )
    except Exception as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> HpoError:
    """What to tell of a failure of Optuna's or of its dashboard's: the study can be damaged in any way."""
    if isinstance(error, HpoError):
        return error
    cause = of_database(error)
    told = (
        f"cannot be read now: {cause}" if cause is not None else f"cannot be shown: {type(error).__name__} {error}"
    )
    return ExperimentError(f"the study {path} {told}".rstrip())


def _connection(path: Path) -> sqlite3.Connection:
    connection = reading(path, _BUSY_TIMEOUT_S)
    began = time.monotonic()
    connection.set_progress_handler(lambda: time.monotonic() - began > _MAX_READING_S, _STEPS_BETWEEN_LOOKS)
    return connection


class _Prefixed:
    """optuna-dashboard below a prefix: it is asked as if it were at the root, and what it spells is led back."""

    def __init__(self, app: WsgiApp, prefix: str, start: str, path: Path) -> None:
        self._app = app
        self._prefix = quote(prefix)
        self._length = len(prefix.encode("utf-8").decode("latin-1"))
        self._start = start
        self._path = path

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        below = environ["PATH_INFO"][self._length :]
        if below == "/":
            return redirect(start_response, f"{self._prefix}/dashboard/{self._start}")
        if below == _BUNDLE:
            return _send_bundle(environ, start_response)
        # its page differs by the prefix: what a browser keeps of it is never the answer
        without = {"HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_RANGE"}
        asked = {key: value for key, value in environ.items() if key not in without}
        asked |= {"PATH_INFO": below, "SCRIPT_NAME": ""}
        asked.setdefault("HTTP_ACCEPT_ENCODING", "identity")
        try:
            return self._answer(asked, start_response)
        except Exception as error:
            raise unreadable(self._path, error) from error

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started: list[Any] = []

        def starting(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
            started[:] = [status, [(name, self._led_back(name, value)) for name, value in headers]]

        body = self._app(environ, starting)
        if not f"{environ['PATH_INFO']}/".startswith("/dashboard/"):
            start_response(*started)
            return body
        page = b"".join(body).replace(b'"/static/', b'"%s/static/' % self._prefix.encode())
        status, headers = started
        headers = [(name, value) for name, value in headers if name.lower() not in ("content-length", "etag")]
        is_whole = environ["REQUEST_METHOD"] != "HEAD"
        start_response(status, [*headers, ("Content-Length", str(len(page)))] if is_whole else headers)
        return [page]

    def _led_back(self, name: str, value: str) -> str:
        """Headers as they are; a redirection stays below the prefix."""
        return f"{self._prefix}{urlsplit(value).path}" if name.lower() == "location" else value


@cache
def bundle() -> tuple[bytes, bytes, str]:
    """optuna-dashboard's script for an address with a prefix, plain and compressed, and what identifies it."""
    import optuna_dashboard

    script = (Path(optuna_dashboard.__file__).parent / "public" / "bundle.js").read_bytes()
    missing = [address.decode() for address in _ADDRESSES if address not in script]
    if missing:
        raise HpoError(
            f"optuna-dashboard {optuna_dashboard.__version__} cannot be shown below an address of its own: its "
            f"script has no {missing[0]}. Another version of it can: pip install 'optuna-dashboard==0.21.0'"
        )
    for address, led in (_ADDRESSES | _FURTHER_ADDRESSES).items():
        script = script.replace(address, led)
    script = _FIRST_LINE + script
    return script, gzip.compress(script, 5, mtime=0), f'"{hashlib.sha256(script).hexdigest()[:16]}"'


def _send_bundle(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    plain, compressed, tag = bundle()
    caching = [("ETag", tag), ("Cache-Control", "private, no-cache"), ("Vary", "Accept-Encoding")]
    if environ.get("HTTP_IF_NONE_MATCH") == tag:
        start_response("304 Not Modified", caching)
        return []
    is_compressed = "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
    body = compressed if is_compressed else plain
    encoding = [("Content-Encoding", "gzip")] if is_compressed else []
    kind = [("Content-Type", "text/javascript; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("200 OK", [*kind, *encoding, *caching])
    return [body]
