"""Projects of users, each complete, that tests copy and run from their own directory."""

from __future__ import annotations

import shutil
from pathlib import Path

SIGNALS = Path(__file__).parent / "signals"
CLUSTERS = Path(__file__).parent / "clusters"


def copied(project: Path, to: Path) -> Path:
    """A copy of `project` in the directory `to`, without what running it has left."""
    return shutil.copytree(project, to, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)


def make_project(folder: Path, code: str) -> None:
    """A user's project: mypkg, its declaration, an experiment in ./conf."""
    (folder / "mypkg").mkdir()
    (folder / "mypkg" / "__init__.py").write_text(code)
    (folder / "pyproject.toml").write_text('[tool.hpo]\nallow_targets = ["mypkg.*"]\n')
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "mine.yaml").write_text(_EXPERIMENT)


_EXPERIMENT = """\
# @package _global_
defaults:
  - /preset/without_training
task:
  _target_: mypkg.run
optim_metrics:
  score: max
total_trials: 4
"""
