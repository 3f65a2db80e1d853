"""Experiments to show, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from hpo.paths import ExperimentPaths
from hpo.saved import SavedExperiment
from tests.dashboard.serving import Running, running
from tests.synthetic import make_experiment

FIRST = "5e9d_0001"
SECOND = "0th3_0002"


def write_events(directory: Path, num_steps: int = 5) -> None:
    """An event file with a scalar."""
    writer = EventFileWriter(str(directory))
    for step in range(num_steps):
        value = Summary.Value(tag="val_loss", simple_value=1.0 / (step + 1))
        writer.add_event(Event(step=step, wall_time=1.8e9 + step, summary=Summary(value=[value])))
    writer.close()


def make_shown(folder: Path, experiment_id: str = FIRST, num_trials: int = 12) -> Path:
    """A synthetic experiment whose first trials have event files."""
    root = make_experiment(folder, num_trials, experiment_id=experiment_id, num_directories=3)
    for trial in SavedExperiment.open(root).trials[:3]:
        write_events(ExperimentPaths.of(root).trial(trial.trial_id).dashboard)
    return root


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two experiments, which nobody changes."""
    folder = tmp_path_factory.mktemp("shown")
    make_shown(folder)
    make_shown(folder, SECOND, 5)
    return folder


@pytest.fixture(scope="session")
def dashboard(shown: Path) -> Iterator[Running]:
    """The command on that folder."""
    with running(shown) as process:
        yield process
