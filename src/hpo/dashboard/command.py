"""The command `python -m hpo.dashboard`: an address for what lies in a directory."""

from __future__ import annotations

import argparse
import errno
import importlib.util
import ipaddress
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from hpo.errors import ExperimentError, HpoError
from hpo.paths import EXPERIMENT_PREFIX

if TYPE_CHECKING:
    from hpo.dashboard.asgi import App

BAD_INPUT = 2
DEFAULT_PORT = 8080
_EXTRA = ("starlette", "uvicorn", "jinja2", "a2wsgi", "optuna_dashboard")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MIN_TOKEN = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; the exit status."""
    given = _parser().parse_args(arguments)
    try:
        _check_extra()
        directory = _checked(given.directory)
        with _listening(given.host, given.port) as listener:
            serve(directory, listener, token=_token(given.token, listener), allowed=given.allow_host)
    except HpoError as error:
        print(f"hpo: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def serve(directory: Path, listener: socket.socket, *, token: str | None, allowed: Sequence[str] = ()) -> None:
    """Say the address, and answer at it until a signal comes."""
    from hpo.dashboard.server import server_of

    address, port = listener.getsockname()[:2]
    hosts = {*_LOOPBACK, address, *allowed}
    if _is_wildcard(address):
        hosts |= {socket.gethostname()}
    server = server_of(application(directory, hosts=hosts, token=token))
    print(_greeting(directory, address, port, token), flush=True)
    server.run(sockets=[listener])


def application(directory: Path, *, hosts: set[str], token: str | None) -> App:
    """The pages of `directory`, optuna-dashboard and TensorBoard, and what stands in front of them."""
    from hpo.dashboard.app import create_app
    from hpo.dashboard.mounts import mounted
    from hpo.dashboard.safety import protect

    return protect(mounted(create_app(directory), directory), hosts=hosts, token=token)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hpo.dashboard",
        description="Show experiments in a browser. It only reads, while they run and after they ended.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="an experiment, or a folder of them")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="default: 8080; 0 picks one that is free")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, for this machine alone")
    parser.add_argument(
        "--token",
        nargs="?",
        const="",
        help="what a browser must know; without a value, and for another address than loopback, one is generated",
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a further name that browsers may use"
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 1 << 16:
        raise argparse.ArgumentTypeError(f"{port} is no port: 0 to 65535")
    return port


def _check_extra() -> None:
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise HpoError(
            f"the dashboard needs {', '.join(missing)}, which is not installed: pip install 'hpo[dashboard]'"
        )


def _checked(directory: Path) -> Path:
    from hpo.dashboard.files import experiments

    if not directory.exists():
        raise ExperimentError(f"{directory} does not exist: there is nothing to show")
    if not directory.is_dir():
        raise ExperimentError(f"{directory} is no folder: give an experiment, or a folder of them")
    if not experiments(directory):
        raise ExperimentError(
            f"{directory} holds no experiment: their folders are called {EXPERIMENT_PREFIX}<experiment_id>"
        )
    return directory.absolute()


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises HpoError that says what to do where it cannot."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            "127.0.0.1" if host == "localhost" else host, port, type=socket.SOCK_STREAM
        )[0]
    except OSError as error:
        raise HpoError(f"--host {host} is no address of this machine: {error.strerror}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            told = f"port {port} is in use: give another one, --port {port + 1}, or --port 0 for one that is free"
        elif error.errno == errno.EACCES:
            told = f"port {port} is not yours to use: give one from 1024 on, for example --port {DEFAULT_PORT}"
        else:
            told = f"--host {host} --port {port} cannot be served: {error.strerror}"
        raise HpoError(told) from error
    return listener


def _token(given: str | None, listener: socket.socket) -> str | None:
    """The token to ask for; None for a loopback address where none was wanted."""
    if given:
        if len(given) < _MIN_TOKEN:
            raise HpoError(
                f"--token has {len(given)} characters, and needs {_MIN_TOKEN}; without a value one is generated"
            )
        return given
    is_loopback = ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
    return None if is_loopback and given is None else secrets.token_urlsafe(24)


def _is_wildcard(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_unspecified


def _greeting(directory: Path, address: str, port: int, token: str | None) -> str:
    name = socket.gethostname() if _is_wildcard(address) else address
    host = f"[{name}]" if ":" in name else name
    query = f"?token={quote(token, safe='')}" if token is not None else ""
    return f"hpo dashboard of {directory}: http://{host}:{port}/{query}\nCtrl-C ends it."
