"""What produced an experiment: command, code, packages, machine."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from hpo.objectives import Objective
from hpo.resolved import without_passwords
from hpo.shell import joined

_PACKAGES = (
    "hpo",
    "hydra-core",
    "hydra-optuna-sweeper",
    "omegaconf",
    "optuna",
    "sqlalchemy",
    "torch",
    "torchmetrics",
    "tensorboard",
    "numpy",
    "scikit-learn",
)
_GIT_TIMEOUT_S = 10.0
_MAX_DIFF_CHARACTERS = 1_000_000


@dataclass(frozen=True)
class Provenance:
    """Everything but the diff goes into each trial's metadata.json; all of it into the experiment's row.

    `arguments` are those of the command, also where `command_line` is that of a script that calls `hpo.run`.
    """

    command_line: str
    arguments: list[str]
    working_directory: str
    git_commit: str | None
    git_dirty: bool | None
    git_diff: str | None
    packages: dict[str, str]
    python: str
    platform: str
    host: str
    devices: list[str]

    def for_trial(self) -> dict[str, Any]:
        values = asdict(self)
        del values["git_diff"]
        return values

    def row(self, config: Mapping[str, Any], objectives: Sequence[Objective]) -> dict[str, Any]:
        """The columns of the table `experiments`, for the run configuration as plain values."""
        columns = (
            "name",
            "tags",
            "notes",
            "config_hash",
            "search_space",
            "random_seed",
            "data_source",
            "data_digest",
        )
        return asdict(self) | {
            **{name: config[name] for name in (*columns, "data_source", "data_digest")},
            "config": dict(config),
            "optim_metrics": {entry.name: entry.direction.value for entry in objectives},
        }


def collect_in_background(devices: list[str]) -> Future[Provenance]:
    """Start to collect: git takes tens of milliseconds that the start of an experiment need not wait for."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="provenance")
    future = executor.submit(collect, devices)
    executor.shutdown(wait=False)
    return future


def collect(devices: list[str]) -> Provenance:
    commit = _git("rev-parse", "HEAD")
    status = _git("status", "--porcelain") if commit else None
    diff = _git("diff", "HEAD") if status else None
    return Provenance(
        command_line=without_passwords(joined(_command())),
        arguments=without_passwords(sys.argv[1:]),
        working_directory=str(Path.cwd()),
        git_commit=commit.strip() if commit else None,
        git_dirty=bool(status) if status is not None else None,
        git_diff=without_passwords(diff[:_MAX_DIFF_CHARACTERS]) if diff else None,
        packages=_versions(),
        python=platform.python_version(),
        platform=platform.platform(),
        host=socket.gethostname(),
        devices=devices,
    )


def _command() -> list[str]:
    original = list(getattr(sys, "orig_argv", sys.argv))
    return [Path(original[0]).name, *original[1:]] if original else []


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _git(*arguments: str) -> str | None:
    """The output of a git command in the working directory; None without git or outside a repository."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
