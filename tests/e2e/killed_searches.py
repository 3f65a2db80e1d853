"""Searches whose processes are killed and that are resumed until they are complete, and what must be left then."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import optuna
import torch
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hpo.paths import ExperimentPaths, TrialPaths
from hpo.recording.tensorboard import RESOURCES_PREFIX
from tests.e2e.conftest import command, environment
from tests.projects import CLUSTERS, copied

SEARCH = ("+experiment=clusters", "--multirun", "resume=true", "experiment_id=killed")
NUM_EPOCHS = 3

_ID = "HPO_TEST_SEARCH"
_LIMIT_S = 90.0
# what is orphaned dies within milliseconds; a machine at its limit takes longer
_LINGER_S = 10.0
_POLL_S = 0.02
_PART_AT_WORK = 0.85
_MAX_PAUSE_S = 0.6
_MAX_START_S = 3.0


class KilledSearch:
    """One search in a folder of its own, started as often as it takes."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = copied(CLUSTERS, folder)
        self.paths = ExperimentPaths(folder / "experiments", "killed")
        self._log = folder / "said.txt"
        self._marks = folder / "marks"
        self._marks.mkdir()
        self._overrides = overrides
        self._id = uuid.uuid4().hex

    def run(self, *faults: str) -> None:
        """Run until it is complete; every fault must strike once."""
        status = -signal.SIGKILL
        for _ in range(len(faults) + 1):
            if status == -signal.SIGKILL:
                status = self._start(faults).wait(_LIMIT_S)
                self.wait_for_orphans()
        assert status == 0, self.said()
        assert {mark.name for mark in self._marks.iterdir()} == set(faults), self.said()

    def kill_at_random(self, random: Random, num_kills: int) -> int:
        """Kill at moments that `random` draws, several in each start; how many times, of `num_kills`."""
        left = num_kills
        while left and not self.is_complete:
            num_started = self._num_started
            scheduler = self._start()
            # while modules are imported there is little to be lost; a few die there all the same
            is_at_work = random.random() < _PART_AT_WORK
            try:
                while is_at_work and self._num_started == num_started and scheduler.poll() is None:
                    time.sleep(_POLL_S)
                while left and scheduler.poll() is None:
                    time.sleep(random.uniform(0.0, _MAX_PAUSE_S if is_at_work else _MAX_START_S))
                    victims = self._victims(scheduler.pid, random) if is_at_work else [scheduler.pid]
                    left -= sum(map(kill, victims)) > 0
            finally:
                status = scheduler.poll()
                scheduler.kill()
                scheduler.wait()
                self.wait_for_orphans()
            assert status in (None, 0, -signal.SIGKILL), self.said()
        return num_kills - left

    @property
    def _num_started(self) -> int:
        """Of all attempts so far."""
        return self.said().count(" started on cpu ") if self._log.exists() else 0

    def _victims(self, scheduler: int, random: Random) -> list[int]:
        """The scheduler, its server, a trial (or a process that waits for one), or scheduler and trial at once."""
        processes = self.processes()
        servers = [pid for pid, parent in processes.items() if parent == scheduler]
        trials = [pid for pid, parent in processes.items() if parent in servers]
        kind = random.choice(["scheduler", "scheduler", "trial", "trial", "both", "server"])
        if kind == "server":
            return servers
        trial = random.sample(sorted(trials), min(1, len(trials)))
        return trial if kind == "trial" else [scheduler, *(trial if kind == "both" else [])]

    def _start(self, faults: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        variables = {"HPO_FAULT": ",".join(faults), "HPO_FAULT_MARKS": str(self._marks)} if faults else {}
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command(*SEARCH, *self._overrides, f"experiment_dir={self.paths.experiment_dir}"),
                cwd=self._folder,
                env=environment() | variables | {_ID: self._id},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def is_complete(self) -> bool:
        if not self.paths.state_db.exists():
            return False
        try:
            with closing(sqlite3.connect(self.paths.state_db)) as database:
                return database.execute("SELECT state FROM experiments").fetchall() == [("COMPLETE",)]
        except sqlite3.OperationalError:
            return False  # it has no tables yet

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def processes(self) -> dict[int, int]:
        """Whatever runs of it: process -> its parent."""
        wanted = f"{_ID}={self._id}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            # one that ends meanwhile cannot be read, and a zombie has nothing to read
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        return found

    def wait_for_orphans(self) -> None:
        """What a scheduler leaves must end by itself."""
        deadline = time.monotonic() + _LINGER_S
        while self.processes():
            assert time.monotonic() < deadline, f"processes are left: {self.processes()}\n{self.said()}"
            time.sleep(_POLL_S)


def kill(pid: int) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def left_by(search: KilledSearch) -> dict[str, object]:
    """Whatever a search leaves that must not depend on what has happened to it."""
    paths = search.paths
    names = sorted(path.name for path in paths.root.iterdir())
    with closing(sqlite3.connect(paths.state_db)) as database:
        trials = database.execute(
            "SELECT number, trial_id, state, params, metrics, is_feasible, reason, traceback, data_source "
            "FROM trials ORDER BY number"
        ).fetchall()
        reports = database.execute(
            "SELECT number, step, metrics FROM reports ORDER BY number, step, id"
        ).fetchall()
        experiment = database.execute("SELECT experiment_id, state, best_trials FROM experiments").fetchall()
    return {
        "names": names,
        "trials": trials,
        "reports": reports,
        "experiment": experiment,
        "study": [
            (
                trial.number,
                trial.state.name,
                trial.params,
                trial.values,
                trial.intermediate_values,
                trial.user_attrs,
            )
            for trial in _studied(paths)
        ],
        "best_trial": paths.best_trial.read_text().partition("directory:")[0],
        "results": {path.parent.name: path.read_bytes() for path in paths.root.glob("*/results.json")},
        "curves": {folder.parent.name: _scalars(folder) for folder in paths.root.glob("*/dashboard")},
        "checkpoints": {str(path.relative_to(paths.root)): _weights(path) for path in paths.root.rglob("*.pt")},
    }


def assert_nothing_lost(search: KilledSearch, expected: Mapping[str, object], num_trials: int) -> None:
    """Every trial once, whole and the same everywhere; and all as in the search that nobody has killed."""
    paths = search.paths
    assert [path.name for path in paths.experiment_dir.iterdir()] == [paths.root.name]
    assert not search.processes()
    assert not paths.lock.exists()
    assert not [path for path in paths.root.rglob("*") if path.name.endswith(".tmp")]
    left = left_by(search)
    for part, found in left.items():
        assert found == expected[part], part
    studied = _studied(paths)
    trials: Any = left["trials"]
    assert [row[0] for row in trials] == [trial.number for trial in studied] == list(range(num_trials))
    for (number, trial_id, state, _, metrics, *_), trial in zip(trials, studied, strict=True):
        assert (state, trial.state.name) == ("COMPLETE", "COMPLETE")
        assert trial.values == [json.loads(metrics)["val_loss"]]
        reports = [(step, json.loads(text)) for of, step, text in left["reports"] if of == number]  # type: ignore
        _assert_whole(paths.trial(trial_id), trial, reports)


def _assert_whole(paths: TrialPaths, trial: FrozenTrial, reports: list[tuple[int, dict[str, Any]]]) -> None:
    records = json.loads(paths.results.read_text())
    assert len({record["current_iteration"] for record in records}) == len(records) == 2 * NUM_EPOCHS
    evaluations = [record for record in records if not math.isnan(record["val_loss"])]
    assert [record["current_epoch"] for record in evaluations] == list(range(1, NUM_EPOCHS + 1))
    assert reports == [(record["current_iteration"], record) for record in evaluations]
    losses = [record["val_loss"] for record in evaluations]
    assert trial.intermediate_values == dict(enumerate(losses, start=1))
    best = evaluations[losses.index(min(losses))]
    (checkpoint,) = paths.best_checkpoints.iterdir()
    assert checkpoint == paths.best_checkpoint(best["current_iteration"])
    assert torch.load(checkpoint)["metrics"] == best
    assert json.loads(paths.metadata.read_text())["best_iteration"] == best["current_iteration"]


def _studied(paths: ExperimentPaths) -> list[FrozenTrial]:
    storage = RDBStorage(f"sqlite:///{paths.study_db}")
    try:
        return optuna.load_study(study_name=paths.experiment_id, storage=storage).trials
    finally:
        # a connection that is left open keeps the journal beside its database
        storage.remove_session()
        storage.engine.dispose()


def _scalars(dashboard: Path) -> dict[str, list[tuple[int, str]]]:
    """Step and value by tag; as text, since NaN must equal itself."""
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of what it drops
    events = EventAccumulator(str(dashboard))
    events.Reload()
    return {
        tag: [(event.step, repr(event.value)) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith(RESOURCES_PREFIX)
    }


def _weights(checkpoint: Path) -> dict[str, list[Any]]:
    return {name: values.tolist() for name, values in torch.load(checkpoint)["model"].items()}
