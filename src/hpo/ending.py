"""What parts of the command that Hydra does not tell of its end have to do then."""

from __future__ import annotations

from collections.abc import Callable

Closer = Callable[[BaseException | None], bool]
"""Told with what the command ends, if with an error; answers whether a trial completed."""

_closers: list[Closer] = []


class NoneCompleted(SystemExit):
    """The experiment is over and no trial completed: status 1 in any Hydra application, caught by hpo's own."""

    def __init__(self) -> None:
        super().__init__(1)


def at_end(close: Closer) -> None:
    """Have `close` called once, when the command ends."""
    _closers.append(close)


def has_closers() -> bool:
    """Whether anybody waits for the end: a sweeper that is not hpo's is at work."""
    return bool(_closers)


def end(error: BaseException | None = None) -> bool:
    """Call all that wait for the end; whether each could say that a trial completed."""
    closers = _closers.copy()
    _closers.clear()
    completed = True
    for close in reversed(closers):
        completed = close(error) and completed
    return completed
