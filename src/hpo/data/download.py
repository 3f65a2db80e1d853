"""Fetches files from the first mirror that gives them whole; processes that want them at once fetch them once."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import queue
import secrets
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hpo.data.locks import locked
from hpo.data.progress import Advance, download_shown, say

logger = logging.getLogger("hpo.data")

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0

_BLOCK_BYTES = 1 << 18
_LOCK = ".hpo_download.lock"
_PART = ".part"


@dataclass(frozen=True)
class Remote:
    """A file that every mirror has under `name`, and the SHA-256 that it must have."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Timeouts:
    """Seconds until a mirror must have answered, and that may pass without a byte of its file."""

    connect_s: float = CONNECT_TIMEOUT_S
    read_s: float = READ_TIMEOUT_S


class _MirrorFailed(Exception):
    """Why a mirror did not give a file."""


def download(
    files: Sequence[Remote], folder: Path, mirrors: Sequence[str], timeouts: Timeouts | None = None
) -> tuple[str, ...]:
    """Fetch those of the files that `folder` lacks. Returns why it failed, by mirror; nothing when it did not.

    A file gets its name when it is whole and has its checksum. What is there already is not looked at.
    """
    if not mirrors:
        return ("data_config.mirrors names none",)
    try:
        with _folder(folder), _only_one(folder):
            order = list(mirrors)
            for file in files:
                if not (folder / file.name).is_file():
                    reasons = _fetch(file, folder, order, timeouts or Timeouts())
                    if reasons:
                        return reasons
    except OSError as error:
        return (f"cannot write into {folder.absolute()}: {error}",)
    return ()


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Make the folder, and remove what was made of it when nothing came into it."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            for path in made:
                path.rmdir()


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    lock = folder / _LOCK
    with locked(lock, on_wait=lambda: say(f"another process downloads into {folder}: waiting for it")):
        try:
            yield
        finally:
            # who waits for it looks at the files before anything else, so that it is not needed any more
            lock.unlink(missing_ok=True)


def _fetch(file: Remote, folder: Path, order: list[str], timeouts: Timeouts) -> tuple[str, ...]:
    """Try the mirrors in order; one that fails goes to the end of it, for the files that follow."""
    for left in folder.glob(f".{file.name}.*{_PART}"):
        left.unlink()  # of a process that was killed
    reasons = []
    for mirror in list(order):
        url = f"{mirror.rstrip('/')}/{file.name}"
        try:
            _fetch_from(url, file, folder, timeouts)
            return ()
        except _MirrorFailed as failed:
            logger.warning("%s: %s", url, failed)
            reasons.append(f"{url}: {failed}")
            order.remove(mirror)
            order.append(mirror)
    return tuple(reasons)


def _fetch_from(url: str, file: Remote, folder: Path, timeouts: Timeouts) -> None:
    with closing(_answer(url, timeouts)) as response:
        length = response.headers.get("Content-Length")
        num_bytes = int(length) if length and length.isdigit() else None
        part = folder / f".{file.name}.{secrets.token_hex(4)}{_PART}"
        try:
            with part.open("xb") as out, download_shown(file.name, url, num_bytes) as advance:
                num_got, sha256 = _copy(response, out, advance, timeouts)
                out.flush()
                os.fsync(out.fileno())
            if num_bytes is not None and num_got < num_bytes:
                raise _MirrorFailed(f"cut off after {num_got} of {num_bytes} bytes")
            if sha256 != file.sha256:
                raise _MirrorFailed(f"a wrong file: its SHA-256 is {sha256[:12]}..., not {file.sha256[:12]}...")
            part.replace(folder / file.name)
        finally:
            part.unlink(missing_ok=True)


def _copy(response: Any, out: BinaryIO, advance: Advance, timeouts: Timeouts) -> tuple[int, str]:
    """The number of bytes that came, and their SHA-256."""
    digest = hashlib.sha256()
    while block := _read(response, timeouts):
        out.write(block)
        digest.update(block)
        advance(len(block))
    return out.tell(), digest.hexdigest()


def _read(response: Any, timeouts: Timeouts) -> bytes:
    try:
        # what there is, and not a whole block: a bar that stands still says that the mirror does
        block: bytes = response.read1(_BLOCK_BYTES)
        return block
    except TimeoutError:
        raise _MirrorFailed(f"nothing came for {timeouts.read_s:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorFailed(f"broke off: {error or type(error).__name__}") from error


def _answer(url: str, timeouts: Timeouts) -> Any:
    """The response to a request for `url`, from a thread of its own.

    Looking a name up knows no timeout, and urllib's holds for each of a host's addresses in turn.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    is_too_late = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "hpo"})
            response = urllib.request.urlopen(request, timeout=timeouts.read_s)
            if is_too_late.is_set():
                response.close()
            answers.put(response)
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=timeouts.connect_s)
    except queue.Empty:
        is_too_late.set()
        raise _MirrorFailed(f"no answer within {timeouts.connect_s:g} s") from None
    if isinstance(answer, urllib.error.HTTPError):
        with answer:
            raise _MirrorFailed(f"HTTP {answer.code} {answer.reason}")
    if isinstance(answer, urllib.error.URLError):
        raise _MirrorFailed(str(getattr(answer.reason, "strerror", None) or answer.reason))
    if isinstance(answer, TimeoutError):
        raise _MirrorFailed(f"no answer within {timeouts.read_s:g} s")
    if isinstance(answer, Exception):
        raise _MirrorFailed(str(answer) or type(answer).__name__)
    return answer
