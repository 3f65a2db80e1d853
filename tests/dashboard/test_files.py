"""Only what lies in the served directory is given, as bytes to keep."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hpo.dashboard import files
from hpo.dashboard.asgi import Message
from hpo.dashboard.files import download, experiment, experiments, opened, plain, resolve, tail
from hpo.dashboard.safety import protect
from tests.dashboard.serving import ask, served


def make_directory(tmp_path: Path) -> Path:
    """A folder to serve, beside one with a secret; links of all kinds lead from one to the other."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside / "experiment_a" / "sub", outside / "experiment_secret"):
        folder.mkdir(parents=True)
    (inside / "experiment_a" / "file.txt").write_text("told\n")
    (outside / "secret.txt").write_text("SECRET")
    (tmp_path / "inside_too").mkdir()
    (tmp_path / "inside_too" / "secret.txt").write_text("SECRET")
    links = {
        "out": outside,
        "file_out": outside / "secret.txt",
        "relative_out": Path("../outside/secret.txt"),
        "up": Path(".."),
        "around": Path("../inside/experiment_a/file.txt"),
        "loop": Path("loop"),
        "dangling": Path("nothing"),
        "experiment_secret": outside / "experiment_secret",
        "experiment_b": Path("experiment_a"),
    }
    for name, target in links.items():
        (inside / name).symlink_to(target)
    os.mkfifo(inside / "pipe")
    return inside


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return make_directory(tmp_path)


OUT = [
    "../outside/secret.txt",
    "experiment_a/../../outside/secret.txt",
    "experiment_a/sub/../../../outside/secret.txt",
    "..",
    "../inside_too/secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "out/secret.txt",
    "file_out",
    "relative_out",
    "up/outside/secret.txt",
    "loop",
    "loop/x",
    "dangling",
    "nothing",
    "experiment_a/file.txt/x",
    "experiment_a/file.txt\0",
    "\0",
    "file_out\0.txt",
    "..\\outside\\secret.txt",
    "%2e%2e/outside/secret.txt",
    "..%2foutside/secret.txt",
    "\uff0e\uff0e/outside/secret.txt",
    "~root/.profile",
    "\udc80",
    "x" * 5000,
    "a/" * 3000,
]


@pytest.mark.parametrize("relative", OUT)
def test_nothing_outside_is_opened(directory: Path, relative: str) -> None:
    assert opened(directory, relative) is None
    assert download(directory, relative).status_code == 404


@pytest.mark.parametrize(
    "relative", ["experiment_a/file.txt", "experiment_a/./file.txt", "experiment_a//file.txt", "around"]
)
def test_what_lies_inside_is_opened_also_by_a_link_that_stays_inside(directory: Path, relative: str) -> None:
    file = opened(directory, relative)

    assert file is not None
    with file:
        assert file.read() == b"told\n"


@pytest.mark.parametrize("relative", ["", ".", "experiment_a", "pipe", "experiment_a/sub"])
def test_nothing_but_a_regular_file_is_opened(directory: Path, relative: str) -> None:
    assert opened(directory, relative) is None


def test_a_served_folder_that_is_itself_a_link_is_served(directory: Path) -> None:
    link = directory.parent / "link"
    link.symlink_to(directory)

    assert resolve(link, "experiment_a/file.txt") == directory / "experiment_a" / "file.txt"
    assert resolve(link, "file_out") is None


def test_a_link_that_is_put_in_the_way_meanwhile_is_not_followed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "experiment_a" / "secret.txt").write_text("mine")
    real = files.resolve

    def resolved_and_replaced(root: Path, relative: str) -> Path | None:
        path = real(root, relative)
        (directory / "experiment_a").rename(directory / "moved")
        (directory / "experiment_a").symlink_to(directory.parent / "outside")
        return path

    monkeypatch.setattr(files, "resolve", resolved_and_replaced)

    assert opened(directory, "experiment_a/secret.txt") is None


def test_a_file_that_may_not_be_read_is_not_there(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> int:
        raise PermissionError

    monkeypatch.setattr(files.os, "open", refuses)

    assert download(directory, "experiment_a/file.txt").status_code == 404


def test_experiments_are_those_inside(directory: Path) -> None:
    assert sorted(experiments(directory)) == ["a", "b"]
    assert experiment(directory, "a") == directory / "experiment_a"
    for name in ("secret", "", "..", "a/../../outside/experiment_secret", "a/sub", "a\0", "x"):
        assert experiment(directory, name) is None


def test_a_directory_that_is_an_experiment_is_the_only_one(directory: Path) -> None:
    own = directory / "experiment_a"

    assert experiments(own) == {"a": own}
    assert experiment(own, "a") == own
    assert experiment(own, "b") is None


# ---------------------------------------------------------------------------------- over the wire


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is served below."""
    return make_directory(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def port(shared: Path) -> Iterator[int]:
    def give(request: Request) -> Response:
        return download(shared, request.path_params["path"])

    app = Starlette(routes=[Route("/files/{path:path}", give)])
    with served(protect(app, hosts={"127.0.0.1"}, token=None)) as number:
        yield number


@pytest.mark.parametrize(
    "target",
    [
        "../outside/secret.txt",
        "%2e%2e/outside/secret.txt",
        "%2e%2e%2foutside%2fsecret.txt",
        "%252e%252e/outside/secret.txt",
        "..%2Foutside/secret.txt",
        "..%5coutside%5csecret.txt",
        "..;/outside/secret.txt",
        "....//outside/secret.txt",
        "%c0%ae%c0%ae/outside/secret.txt",
        "%uff0e%uff0e/outside/secret.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "file:///etc/passwd",
        "out/secret.txt",
        "out%2fsecret.txt",
        "file_out",
        "up/outside/secret.txt",
        "experiment_a/file.txt%00",
        "experiment_a%00/../../outside/secret.txt",
        "./../outside/secret.txt",
        "experiment_a/../../outside/secret.txt?",
        "proc/self/environ",
        "%ff%fe",
    ],
)
@pytest.mark.parametrize("prefix", ["/files/", "/files/experiment_a/../", "/files//", "/../files/"])
def test_no_spelling_of_a_path_leads_out(port: int, prefix: str, target: str) -> None:
    answer = ask(port, prefix + target)

    assert answer.status in (400, 404)
    assert "SECRET" not in answer.text
    assert "root:" not in answer.text


def test_a_file_is_something_to_keep_and_never_to_show(port: int, shared: Path) -> None:
    page = shared / "experiment_a" / 'é" <script>.html'
    page.write_text("<script>alert(1)</script>")

    answer = ask(port, "/files/experiment_a/%C3%A9%22%20%3Cscript%3E.html")

    assert answer.status == 200
    assert answer.body == page.read_bytes()
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    kind, _, name = answer.headers["content-disposition"].partition("; ")
    assert kind == "attachment"
    assert unquote(name) == f"filename*=utf-8''{page.name}"
    assert "sandbox; default-src 'none'" in [value for key, value in answer.all_headers if "policy" in key]


def test_a_head_reads_nothing_of_a_huge_file(port: int, shared: Path) -> None:
    with (shared / "huge.pt").open("wb") as file:
        file.truncate(1 << 40)

    answer = ask(port, "/files/huge.pt", method="HEAD", timeout=5)

    assert (answer.status, answer.headers["content-length"], answer.body) == (200, str(1 << 40), b"")


async def _received(response: Response, meanwhile: Callable[[], object]) -> list[Message]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)
        if len(messages) == 1:
            meanwhile()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    await response({"type": "http", "method": "GET", "asgi": {"spec_version": "2.4"}}, receive, send)
    return messages


def test_a_file_that_grows_is_given_as_long_as_it_was(directory: Path) -> None:
    path = directory / "grows"
    path.write_bytes(b"x" * 10)

    start, *body = asyncio.run(_received(download(directory, "grows"), lambda: path.write_bytes(b"x" * 14)))

    assert (b"content-length", b"10") in start["headers"]
    assert b"".join(message["body"] for message in body) == b"x" * 10


# ------------------------------------------------------------------------------------------- logs


def test_of_a_log_the_newest_whole_lines_are_shown(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))

    assert tail(log, 1 << 20).splitlines()[0] == "line 0"
    assert tail(log, 25) == "line 998\nline 999\n"
    assert tail(log, 18) == "line 998\nline 999\n"  # exactly two lines
    assert tail(log, 17) == "line 999\n"


def test_a_huge_log_is_read_from_its_end_alone(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    with log.open("wb") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")

    assert tail(log, 1000).splitlines()[-1] == "the end"


def test_a_line_without_end_is_shown_from_where_it_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_bytes(b"x" * 10_000)

    assert tail(log, 100) == "x" * 100


def test_what_a_terminal_would_obey_is_taken_away() -> None:
    assert plain("\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://evil\x1b\\link") == "red link"
    assert plain("a\x00b\x07c\x9bd\x7f\x85e") == "abcde"
    assert plain("user\u202egnp.exe\u2066") == "usergnp.exe"
    assert plain("a\tb\nc") == "a\tb\nc"
    assert plain("\x1b\x1b[\x1b") == ""


def test_of_a_progress_bar_the_last_state_is_shown() -> None:
    assert plain("0%\r50%\r100%\r\nnext\r") == "100%\nnext"


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_bytes(b"\xff\xfe ok \xe4\n")

    assert tail(log, 100) == "\ufffd\ufffd ok \ufffd\n"


def test_a_log_that_is_missing_a_link_or_a_pipe_is_empty(directory: Path) -> None:
    assert tail(directory / "nothing.log", 100) == ""
    assert tail(directory / "file_out", 100) == ""
    assert tail(directory / "pipe", 100) == ""
    assert tail(directory, 100) == ""
