"""Draws the table on a terminal, again and again at the same place."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.segment import Segment, SegmentLines
from rich.text import Text

Draw = Callable[[int, int], RenderableType]
"""Draws something for a terminal of so many columns and lines."""

_FALLBACK_SIZE = (80, 24)


class Painter:
    """`file` is the terminal. Every method raises OSError when that has gone."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = Console(file=file, soft_wrap=False, highlight=False, markup=False, emoji=False)
        self._size = (0, 0)
        self._lines: list[int] = []
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def paint(self, draw: Draw, above: Sequence[str] = ()) -> None:
        """Draw the table anew, and lines that stay above it."""
        width, height = self._fit()
        if not self._live.is_started:
            self._live.start()
        lines = self._console.render_lines(
            draw(width, height), self._console.options.update(width=width, height=None), pad=False
        )
        lines = [_stripped(line) for line in lines[:height]]
        self._lines = [Segment.get_line_length(line) for line in lines]
        # without a line feed behind the last one, which would scroll
        self._live.update(SegmentLines(lines, new_lines=True))
        if above:
            self._console.print(Text.from_ansi("\n".join(above)), soft_wrap=True)
        else:
            self._live.refresh()

    def close(self, above: Sequence[str] = ()) -> None:
        """Take the table away, and show the last lines."""
        if self._live.is_started:
            self._fit()
            self._live.update(Text(""))
            self._live.stop()
        if above:
            self._console.print(Text.from_ansi("\n".join(above)), soft_wrap=True)

    def _fit(self) -> tuple[int, int]:
        """The columns and lines that there are for the table."""
        width, height = size = _size_of(self._file)
        if self._lines and size != self._size:
            self._clear(width)
        self._size = self._console.size = size
        return width, max(height - 1, 1)

    def _clear(self, width: int) -> None:
        """Clear the table of another size: a terminal that gets narrower wraps its lines.

        The cursor is then where it would be if nothing had been wrapped.
        """
        wrapped = sum(max(-(-length // width), 1) for length in self._lines)
        up = f"\x1b[{wrapped - 1}A" if wrapped > 1 else ""
        self._file.write(f"\r{up}\x1b[J" + "\n" * (len(self._lines) - 1))


def _stripped(line: list[Segment]) -> list[Segment]:
    """A line without the blanks at its end, which would wrap as well."""
    kept = list(line)
    while kept and not kept[-1].text.strip():
        kept.pop()
    if kept:
        kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
    return kept


def _size_of(file: TextIO) -> tuple[int, int]:
    width, height = os.get_terminal_size(file.fileno())
    return width or _FALLBACK_SIZE[0], height or _FALLBACK_SIZE[1]
