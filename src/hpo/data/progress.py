"""Shows how far a download is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]

_BYTES_A_MB = 1_000_000


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def download_shown(name: str, url: str, num_bytes: int | None) -> Iterator[Advance]:
    """Calls of what it yields say how many bytes came; `num_bytes` in all, None where the mirror does not say."""
    if not sys.stderr.isatty():
        size = f" ({num_bytes / _BYTES_A_MB:.1f} MB)" if num_bytes is not None else ""
        say(f"downloading {url}{size}")
        yield lambda num: None
        return
    # only a download needs them
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=num_bytes)
        yield lambda num: progress.advance(task, num)
