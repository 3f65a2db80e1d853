"""What the benchmarks share: running the command, reading its times, printing medians and ratios."""

from __future__ import annotations

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


def run_hpo(folder: Path, *overrides: str) -> Times:
    """Run the command in `folder` and read its times from the state database."""
    begun = time.time()
    subprocess.run(command(folder, *overrides), check=True, cwd=folder, stdout=subprocess.DEVNULL)
    exited = time.time()
    rows = query(folder, "SELECT started_at, ended_at, metrics FROM trials ORDER BY number")
    shutil.rmtree(folder / "experiments")
    started, ended, metrics = zip(*rows, strict=True)
    return Times(begun, [*map(_seconds, started)], [*map(_seconds, ended)], list(metrics), exited)


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
