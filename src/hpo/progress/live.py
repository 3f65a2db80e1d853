"""The live view: a thread that draws the table a few times a second, beside whatever the scheduler does."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hpo import terminal
from hpo.progress.capture import Capture
from hpo.progress.lines import Lines
from hpo.progress.snapshot import Snapshot

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hpo.progress.painter import Painter

PERIOD_S = 0.25
# drawing may take one part in so many of the time
_MIN_REST = 50

Take = Callable[[int], Snapshot]
"""Takes a snapshot with so many of the running trials."""


class LiveView:
    """From `start` to `close` the table is on the terminal, and what is printed is shown above it.

    Nothing that goes wrong with it disturbs the search: a terminal that has gone is let go, and what cannot be
    drawn ends the table, with one line that says so.
    """

    def __init__(self, take: Take, period_s: float = PERIOD_S) -> None:
        self._take = take
        self._period_s = period_s
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._capture: Capture | None = None
        self._breakpointhook = sys.breakpointhook

    @property
    def is_open(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        self._capture = Capture()
        self._breakpointhook, sys.breakpointhook = sys.breakpointhook, self._break
        self._thread = threading.Thread(target=self._run, args=(self._capture,), name="hpo-progress", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the table away. What is printed then is printed as ever."""
        capture, thread = self._capture, self._thread
        if capture is None or thread is None:
            return
        sys.breakpointhook = self._breakpointhook
        self._closing.set()
        thread.join()
        self._capture = self._thread = None
        capture.close()

    def _break(self, *args: object, **options: object) -> object:
        """A debugger needs the terminal for itself, and the frame that called it."""
        self.close()
        if sys.breakpointhook is not sys.__breakpointhook__ or os.environ.get("PYTHONBREAKPOINT"):
            return sys.breakpointhook(*args, **options)
        import pdb

        pdb.Pdb().set_trace(sys._getframe(1))
        return None

    def _run(self, capture: Capture) -> None:
        try:
            # the search need not wait for its import
            from hpo.progress.painter import Painter

            encoding = sys.stdout.encoding
            with os.fdopen(os.dup(capture.terminal), "w", encoding=encoding, errors="replace") as file:
                self._show(capture, Painter(file), Lines())
        except OSError:
            capture.abandon()
            capture.restore()
        except Exception as error:
            capture.restore()
            terminal.show(f"the table ends, and lines follow: {type(error).__name__}: {error}")

    def _show(self, capture: Capture, painter: Painter, lines: Lines) -> None:
        from hpo.progress.render import max_running, render

        def draw(width: int, height: int) -> RenderableType:
            return render(self._take(max_running(height)), width=width, height=height)

        rest_s = 0.0
        above: list[str] = []
        try:
            while not self._closing.wait(rest_s):
                begun = time.thread_time()
                above = lines.take(capture.read())
                painter.paint(draw, above)
                above = []
                rest_s = max(self._period_s, _MIN_REST * (time.thread_time() - begun))
        finally:
            capture.restore()
            painter.close(above + lines.take(b"".join(iter(capture.read, b"")), is_last=True))
