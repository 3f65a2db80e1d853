"""What the benchmarks share: running the command, reading its times, printing medians and ratios."""

from __future__ import annotations

import os
import pty
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

NUM_RUNS = 3
# beside the code and not in /tmp, which is memory on many machines
_BUILD = Path(__file__).resolve().parents[2] / "build"


@dataclass(frozen=True)
class Times:
    """One run of the command, in seconds since the epoch; trials by number, their metrics as JSON."""

    command: float
    started: list[float]
    ended: list[float]
    metrics: list[str]
    exited: float


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder on the disk that holds the code."""
    _BUILD.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=_BUILD))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def command(folder: Path, *overrides: str) -> list[str]:
    return [
        *(sys.executable, "-m", "hpo", "--multirun", f"experiment_dir={folder / 'experiments'}"),
        *("verbose=silent", *overrides),
    ]


def run_hpo(folder: Path, *overrides: str, on_a_terminal: bool = False) -> Times:
    """Run the command in `folder` and read its times from the state database."""
    begun = time.time()
    if on_a_terminal:
        run_on_a_terminal(command(folder, *overrides), folder)
    else:
        subprocess.run(command(folder, *overrides), check=True, cwd=folder, stdout=subprocess.DEVNULL)
    exited = time.time()
    rows = query(folder, "SELECT started_at, ended_at, metrics FROM trials ORDER BY number")
    shutil.rmtree(folder / "experiments")
    started, ended, metrics = zip(*rows, strict=True)
    return Times(begun, [*map(_seconds, started)], [*map(_seconds, ended)], list(metrics), exited)


def run_on_a_terminal(arguments: Sequence[str], folder: Path) -> None:
    """Run a command whose standard output is a terminal that shows whatever comes at once."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(arguments, cwd=folder, stdout=theirs, env=environment) as process:
        os.close(theirs)
        try:
            while os.read(ours, 1 << 16):
                pass
        except OSError:  # nobody has the other end open any more
            pass
        finally:
            os.close(ours)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(arguments))


def query(folder: Path, sql: str) -> list[tuple[str, ...]]:
    """Ask the state database of the only experiment below `folder`."""
    (database,) = folder.glob("experiments/*/*_state.db")
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def run_python(folder: Path, code: str) -> tuple[float, str]:
    """Run a baseline in a process of its own: its wall-clock in seconds, and what it printed."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, cwd=folder, capture_output=True, text=True
    )
    return time.perf_counter() - begun, done.stdout


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def show(title: str, rows: Sequence[tuple[str, str]]) -> None:
    print(f"\n{title}")
    for name, value in rows:
        print(f"  {name:<62} {value}")


def verdict(value: float, goal: float, unit: str = "") -> str:
    """`1.03 (goal: at most 1.05, met)`."""
    outcome = "met" if value <= goal else "missed"
    return f"{value:.3g}{unit} (goal: at most {goal:g}{unit}, {outcome})"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
