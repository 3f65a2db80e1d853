"""Which experiments a stretch of code has opened, whatever lies between it and them: Hydra returns nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_opened: ContextVar[list[Path] | None] = ContextVar("opened", default=None)


@contextmanager
def noting_opened() -> Iterator[list[Path]]:
    """The directories of the experiments that are opened inside the block, in their order."""
    noted: list[Path] = []
    token = _opened.set(noted)
    try:
        yield noted
    finally:
        _opened.reset(token)


def note_opened(directory: Path) -> None:
    """Tell whoever wants to know that the experiment in `directory` is open."""
    noted = _opened.get()
    if noted is not None:
        noted.append(directory)
