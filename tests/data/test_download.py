from __future__ import annotations

import hashlib
import logging
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo.data.download import Remote, Timeouts, download
from tests.conftest import REPOSITORY
from tests.data.mirror import Mirror, serving

FILES = {"one.gz": bytes(range(256)) * 2000, "two.gz": b"second" * 1000}
REMOTES = [Remote(name, hashlib.sha256(data).hexdigest()) for name, data in FILES.items()]
SHORT = Timeouts(connect_s=0.5, read_s=0.5)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving(FILES) as mirror:
        yield mirror


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_come_whole_and_nothing_else_is_left(mirror: Mirror, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert download(REMOTES, folder, [mirror.url("good")]) == ()
    assert files_in(folder) == FILES
    assert mirror.requests == ["/good/one.gz", "/good/two.gz"]


def test_the_address_of_a_mirror_may_end_with_a_slash_or_be_that_of_a_folder(
    mirror: Mirror, tmp_path: Path
) -> None:
    assert download(REMOTES[:1], tmp_path / "a", [mirror.url("good/")]) == ()
    assert download(REMOTES[:1], tmp_path / "b", [f"{(tmp_path / 'a').as_uri()}"]) == ()
    assert files_in(tmp_path / "b") == {"one.gz": FILES["one.gz"]}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "HTTP 404 Not Found"),
        ("cut", "cut off after 256000 of 512000 bytes"),
        ("wrong", "a wrong file: its SHA-256 is "),
        ("silent", "no answer within 0.5 s"),
        ("stalled", "nothing came for 0.5 s"),
    ],
)
def test_a_mirror_that_fails_is_told_and_the_next_one_tried(
    mirror: Mirror, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, reason: str
) -> None:
    with caplog.at_level(logging.INFO, logger="hpo.data"):
        assert download(REMOTES, tmp_path, [mirror.url(kind), mirror.url("good")], SHORT) == ()
    assert files_in(tmp_path) == FILES
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{mirror.url(kind)}/one.gz: {reason}")
    # the file that follows comes from the one that works
    assert mirror.requests == [f"/{kind}/one.gz", "/good/one.gz", "/good/two.gz"]


def test_when_all_fail_each_mirror_is_named_with_its_reason_and_nothing_is_left(
    mirror: Mirror, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{taken.getsockname()[1]}"
        reasons = download(
            REMOTES,
            tmp_path / "a" / "b",
            [mirror.url("missing"), refused, "no-scheme/mnist", mirror.url("wrong")],
        )
    assert [reason.partition(": ")[0] for reason in reasons] == [
        f"{mirror.url('missing')}/one.gz",
        f"{refused}/one.gz",
        "no-scheme/mnist/one.gz",
        f"{mirror.url('wrong')}/one.gz",
    ]
    assert "Connection refused" in reasons[1]
    assert "unknown url type" in reasons[2]
    assert not (tmp_path / "a").exists()


def test_no_mirror_at_all_is_a_reason_too(tmp_path: Path) -> None:
    assert download(REMOTES, tmp_path, []) == ("data_config.mirrors names none",)


def test_a_folder_that_cannot_be_written_is_named(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (reason,) = download(REMOTES, tmp_path / "file" / "folder", [mirror.url("good")])
    assert str(tmp_path / "file" / "folder") in reason
    assert mirror.requests == []


def test_what_is_there_already_is_neither_fetched_nor_looked_at(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "one.gz").write_bytes(b"my own")
    assert download(REMOTES, tmp_path, [mirror.url("good")]) == ()
    assert mirror.requests == ["/good/two.gz"]
    assert (tmp_path / "one.gz").read_bytes() == b"my own"


def start(mirror: Mirror, kind: str, folder: Path, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    code = (
        "from pathlib import Path; from hpo.data.download import Remote, download\n"
        f"print(download({REMOTES!r}, Path({str(folder)!r}), [{mirror.url(kind)!r}]))"
    )
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=stderr, text=True)


def test_processes_that_want_them_at_once_fetch_them_once(mirror: Mirror, tmp_path: Path) -> None:
    first = start(mirror, "stalled", tmp_path)
    assert mirror.is_stalled.wait(30)
    # the first one holds the lock until the others have said that they wait for it
    others = [start(mirror, "good", tmp_path) for _ in range(2)]
    for other in others:
        assert other.stderr is not None
        assert "another process downloads into" in other.stderr.readline()
    mirror.goes_on.set()
    for process in (first, *others):
        assert process.communicate(timeout=30)[0] == "()\n"
    assert mirror.requests == ["/stalled/one.gz", "/stalled/two.gz"]
    assert files_in(tmp_path) == FILES


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_download_leaves_no_file_of_the_final_name(
    mirror: Mirror, tmp_path: Path, number: signal.Signals
) -> None:
    process = start(mirror, "stalled", tmp_path)
    assert mirror.is_stalled.wait(30)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert not set(FILES) & set(files_in(tmp_path))
    # and what a killed one could not remove, the next one does
    assert download(REMOTES, tmp_path, [mirror.url("good")]) == ()
    assert files_in(tmp_path) == FILES


def test_without_a_terminal_a_plain_line_says_what_comes_from_where(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download(REMOTES, tmp_path, [mirror.url("good")])
    assert capsys.readouterr().err.splitlines() == [
        f"downloading {mirror.url('good')}/one.gz (0.5 MB)",
        f"downloading {mirror.url('good')}/two.gz (0.0 MB)",
    ]


def test_on_a_terminal_a_bar_shows_how_far_it_is(mirror: Mirror, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = start(mirror, "good", tmp_path, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # the process closed its end
            break
        shown += block
        if not block:
            break
    os.close(ours)
    assert process.communicate(timeout=30)[0] == "()\n"
    assert b"one.gz" in shown
    assert b"512.0/512.0 kB" in shown
