"""Runs the real command in a folder of its own, and opens what it leaves."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpo.paths import ExperimentPaths
from tests.conftest import run_in_process
from tests.projects import make_project

TIMEOUT_S = 180

pytest.register_assert_rewrite("tests.e2e.killed_searches")


@dataclass(frozen=True)
class Run:
    """One run of the command, and the only experiment below its experiment_dir, if there is one."""

    status: int
    stdout: str
    stderr: str
    experiment_dir: Path

    @property
    def paths(self) -> ExperimentPaths:
        (root,) = self.experiment_dir.iterdir()
        return ExperimentPaths.of(root)

    def trials(self, columns: str) -> list[tuple[Any, ...]]:
        """Columns of the state database's trials, in the order of their numbers."""
        with closing(sqlite3.connect(self.paths.state_db)) as connection:
            return connection.execute(f"SELECT {columns} FROM trials ORDER BY number").fetchall()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "hpo", *arguments]


def environment() -> dict[str, str]:
    """The environment without what a test runner adds to it."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("HYDRA_", "PYTEST_"))}


def run_hpo(folder: Path, *arguments: str) -> Run:
    experiment_dir = folder / "experiments"
    done = subprocess.run(
        command(*arguments, f"experiment_dir={experiment_dir}"),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    return Run(done.returncode, done.stdout, done.stderr, experiment_dir)


@pytest.fixture
def hpo(tmp_path: Path) -> Callable[..., Run]:
    """`hpo(*arguments)` runs the command in `tmp_path`."""
    return lambda *arguments: run_hpo(tmp_path, *arguments)


@pytest.fixture
def hpo_in_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """As `hpo`, the command's main() in this process, which has imported everything: for the seconds that saves.

    A trial that runs in the scheduler's process (launcher basic or in_process) then runs in this one.
    """
    return lambda *arguments: run_hpo_in_process(tmp_path, capfd, *arguments)


def run_hpo_in_process(
    folder: Path, capfd: pytest.CaptureFixture[str], *arguments: str, experiment_dir: Path | None = None
) -> Run:
    experiment_dir = experiment_dir or folder / "experiments"
    done = run_in_process(folder, [*arguments, f"experiment_dir={experiment_dir}"], capfd)
    return Run(done.returncode, done.stdout, done.stderr, experiment_dir)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 24 MiB as the folder of the experiments."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], None]:
    """`project(code)` makes a user's project of `tmp_path`."""
    return lambda code: make_project(tmp_path, code)
