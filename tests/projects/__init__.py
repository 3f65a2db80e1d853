"""Projects of users, each complete, that tests copy and run from their own directory."""

from __future__ import annotations

import shutil
from pathlib import Path

SIGNALS = Path(__file__).parent / "signals"
CLUSTERS = Path(__file__).parent / "clusters"


def copied(project: Path, to: Path) -> Path:
    """A copy of `project` in the directory `to`, without what running it has left."""
    return shutil.copytree(project, to, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
