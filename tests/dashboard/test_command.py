"""`python -m hpo.dashboard` as a user meets it: its addresses, its mistakes, its end."""

from __future__ import annotations

import importlib.util
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo.dashboard import command
from hpo.errors import HpoError
from tests.dashboard.serving import ask, running


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiments")
    (folder / "experiment_1234_abcd").mkdir()
    return folder


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The message of a mistake."""
    assert command.main(list(map(str, arguments))) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_directory_that_is_not_there_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, tmp_path / "x") == f"hpo: {tmp_path / 'x'} does not exist: there is nothing to show\n"


def test_a_file_is_no_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").touch()

    assert "x is no folder: give an experiment, or a folder of them" in told(capsys, tmp_path / "x")


def test_a_folder_without_experiments_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no experiment: their folders are called experiment_" in told(capsys, tmp_path)


def test_a_port_that_is_in_use_is_named_with_what_to_do(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        message = told(capsys, directory, "--port", port)

    assert message == (
        f"hpo: port {port} is in use: give another one, --port {port + 1}, or --port 0 for one that is free\n"
    )


def test_an_address_that_is_not_this_machines_is_one_message(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--host 192.0.2.1 --port 0 cannot be served" in told(
        capsys, directory, "--host", "192.0.2.1", "--port", 0
    )
    assert "--host no.such.invalid is no address" in told(capsys, directory, "--host", "no.such.invalid")


def test_a_short_token_is_refused(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--token has 3 characters, and needs 8" in told(capsys, directory, "--token", "abc", "--port", 0)


def test_a_missing_extra_is_named_with_the_line_that_installs_it(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[[str], object] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else real(name))

    assert told(capsys, directory) == (
        "hpo: the dashboard needs uvicorn, which is not installed: pip install 'hpo[dashboard]'\n"
    )


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_what_is_no_port_is_refused(directory: Path, port: str) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([str(directory), "--port", port])

    assert ended.value.code == 2


def test_a_mistake_needs_nothing_of_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys\nfor name in ('starlette', 'uvicorn', 'jinja2', 'a2wsgi', 'optuna_dashboard'): "
        "sys.modules[name] = None\nfrom hpo.dashboard.command import main\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert "--allow-host" in done.stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_a_loopback_address_needs_no_token(host: str) -> None:
    with command._listening(host, 0) as listener:
        assert command._token(None, listener) is None
        assert command._token("a long one", listener) == "a long one"
        assert len(command._token("", listener) or "") == 32


def test_any_other_address_gets_a_token_that_nobody_guesses() -> None:
    with command._listening("0.0.0.0", 0) as listener:
        drawn = {command._token(None, listener) for _ in range(10)}

    assert len(drawn) == 10
    assert all(len(token or "") == 32 for token in drawn)


def test_a_port_below_1024_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refusing)

    with pytest.raises(HpoError, match="port 80 is not yours to use: give one from 1024 on"):
        command._listening("127.0.0.1", 80)


def test_it_says_its_address_and_answers_there_alone(directory: Path) -> None:
    with running(directory) as dashboard:
        assert f"http://127.0.0.1:{dashboard.port}/" in dashboard.greeting
        assert "token" not in dashboard.greeting
        assert ask(dashboard.port).status == 200
        assert ask(dashboard.port, host="evil.example").status == 421
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", dashboard.port))


def test_another_address_prints_a_token_that_opens_it(directory: Path) -> None:
    with running(directory, "--host", "0.0.0.0", "--allow-host", "box.example") as dashboard:
        token = re.search(r"\?token=(\S+)", dashboard.greeting)
        assert token is not None
        assert [ask(dashboard.port, host=host).status for host in ("127.0.0.1", "box.example")] == [403, 403]
        opened = ask(dashboard.port, f"/?token={token[1]}")
        assert opened.status == 303
        cookie = opened.headers["set-cookie"].partition(";")[0]
        assert ask(dashboard.port, headers=(f"Cookie: {cookie}",)).status == 200
        assert ask(dashboard.port, headers=(f"Cookie: {cookie}",), host="other.example").status == 421


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_it_at_once_and_cleanly_while_a_connection_is_open(
    directory: Path, number: signal.Signals, status: int
) -> None:
    with running(directory) as dashboard, socket.create_connection(("127.0.0.1", dashboard.port)) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert stream.recv(100)
        dashboard.process.send_signal(number)
        dashboard.process.wait(timeout=3)

        assert dashboard.process.returncode == status
        assert dashboard.said == ""


def test_it_writes_nothing_into_the_directory(directory: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*"))
    with running(directory) as dashboard:
        for target in ("/", "/optuna/1234_abcd/", "/tensorboard/1234_abcd/data/runs"):
            ask(dashboard.port, target)

    assert sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*")) == before
