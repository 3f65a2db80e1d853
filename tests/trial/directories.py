"""Trials' directories: as the experiment prepares them, as killed processes leave them, and what they say."""

from __future__ import annotations

import atexit
import json
import logging
import pickle
import signal
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from hpo.paths import TrialPaths
from hpo.trial.metadata import Metadata
from tests.conftest import REPOSITORY

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # tensorboard's own imports
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def prepared(root: Path) -> TrialPaths:
    paths = TrialPaths(root)
    for folder in paths.folders:
        folder.mkdir(parents=True)
    Metadata(paths.metadata, {}).update(
        number=3, trial_id="0003_abcd", params={"task.x": 1.0}, attempt=1, log_iteration=0
    )
    return paths


def run_killed(config: DictConfig, paths: TrialPaths) -> None:
    """Run an attempt in a process that kills itself."""
    pickled = paths.root.parent / "config.pkl"
    pickled.write_bytes(pickle.dumps(config))
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    print(json.dumps([str(paths.root), str(pickled)]), file=server.stdin, flush=True)
    assert server.stdout.readline() == f"{-signal.SIGKILL:d}\n"


@cache
def _server() -> subprocess.Popen[str]:
    """Of the processes that run attempts; it ends with the tests, whose end it reads from."""
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.trial.one_attempt"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server


def metadata_of(paths: TrialPaths) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(paths.metadata.read_text())
    return found


def records_of(paths: TrialPaths) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(paths.results.read_text())
    return found


def scalars_of(paths: TrialPaths) -> dict[str, list[tuple[int, float]]]:
    """The points of each curve as TensorBoard shows them, but for what the machine has to do with."""
    accumulator = EventAccumulator(str(paths.dashboard), size_guidance={"scalars": 0})
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of what it drops
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
        if not tag.startswith("resources/")
    }


def assert_equal(paths: TrialPaths, whole: TrialPaths) -> None:
    """A trial that was interrupted has left what one has left that was not."""
    assert paths.results.read_bytes() == whole.results.read_bytes()
    assert paths.results_csv.read_bytes() == whole.results_csv.read_bytes()
    assert str(scalars_of(paths)) == str(scalars_of(whole)), "as text: nan is not nan"
    for folder in ("checkpoints", "best_checkpoints"):
        files = [sorted(path.name for path in (each.root / folder).iterdir()) for each in (paths, whole)]
        assert files[0] == files[1]
    progress = ("log_iteration", "best_iteration", "checkpoint_iteration", "num_logged_at_checkpoint")
    ends = [[metadata_of(each)[key] for key in progress] for each in (paths, whole)]
    assert ends[0] == ends[1]
    assert metadata_of(paths)["outcome"]["metrics"] == metadata_of(whole)["outcome"]["metrics"]
    assert paths.temporary == []
