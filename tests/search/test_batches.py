"""A launcher that cannot stream: what its trials did is read from their directories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, flag_override

from hpo.experiment.experiment import Experiment
from hpo.records import Ended, Report, Resumed, Started, State, TrialSpec
from hpo.search.batches import BatchStream
from hpo.search.stream import Stream
from hpo.trial.attempt import run_attempt
from hpo.trial.link import NullLink
from tests.launchers.applications import waited


class BatchLauncher(Launcher):
    """Runs each job of a batch in this process, as Hydra's basic launcher does."""

    def __init__(self, config: DictConfig, experiment: Experiment) -> None:
        self._config = config
        self._experiment = experiment
        self.batches: list[tuple[int, list[list[str]]]] = []
        self.breaks_before: set[int] = set()

    def setup(self, **_: Any) -> None:
        """Nothing to set up."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        self.batches.append((initial_job_idx, [list(overrides) for overrides in job_overrides]))
        return [self._run(initial_job_idx + index, overrides) for index, overrides in enumerate(job_overrides)]

    def _run(self, number: int, overrides: Sequence[str]) -> JobReturn:
        result = JobReturn(status=JobStatus.COMPLETED)
        try:
            if number in self.breaks_before:
                raise RuntimeError("no such partition")
            config = self._config.copy()
            with flag_override(config, ["struct", "readonly"], False):
                for override in overrides:
                    key, _, value = override.partition("=")
                    if key.startswith("task."):
                        OmegaConf.update(config, key, value if value == "abc" else float(value))
            run_attempt(config, self._experiment.trial(number), NullLink())
        except Exception as error:
            result.status, result.return_value = JobStatus.FAILED, error
        return result


@pytest.fixture
def launcher(open_experiment: Callable[..., Experiment], quadratic: Callable[..., DictConfig]) -> BatchLauncher:
    return BatchLauncher(quadratic(), open_experiment())


@pytest.fixture
def stream(launcher: BatchLauncher) -> BatchStream:
    return BatchStream(launcher, 3, launcher._experiment)


def submit(stream: BatchStream, launcher: BatchLauncher, *values: Any) -> None:
    for number, value in enumerate(values):
        spec = TrialSpec(number, params={"task.x": value}, overrides=(f"task.x={value}",))
        stream.submit(launcher._experiment.prepare(spec))


def test_it_is_a_stream_and_nothing_runs_before_the_wait(stream: BatchStream, launcher: BatchLauncher) -> None:
    assert isinstance(stream, Stream)
    assert stream.capacity == 3
    assert waited(stream) == []
    submit(stream, launcher, 1.0, 2.0)
    assert launcher.batches == []


def test_what_was_submitted_is_one_batch_with_each_trials_directory(
    stream: BatchStream, launcher: BatchLauncher
) -> None:
    submit(stream, launcher, 1.0, 2.0)

    waited(stream)

    names = [launcher._experiment.progress.trial_id(number) for number in (0, 1)]
    assert launcher.batches == [
        (0, [["task.x=1.0", f"hydra.sweep.subdir={names[0]}"], ["task.x=2.0", f"hydra.sweep.subdir={names[1]}"]])
    ]
    assert waited(stream) == []


def test_each_trial_yields_its_start_its_reports_and_one_end(stream: BatchStream, launcher: BatchLauncher) -> None:
    submit(stream, launcher, 1.0, "abc", 2.0)

    events = waited(stream)

    assert [(type(event), event.number) for event in events] == [
        *[(Started, 0), (Report, 0), (Ended, 0)],
        *[(Started, 1), (Ended, 1)],
        *[(Started, 2), (Report, 2), (Ended, 2)],
    ]
    ends = [event for event in events if isinstance(event, Ended)]
    assert [end.state for end in ends] == [State.COMPLETE, State.FAIL, State.COMPLETE]
    assert ends[0].metrics == {"loss": 2.0}
    assert str(ends[1].reason).startswith("TypeError: unsupported operand")
    assert "Traceback" in str(ends[1].traceback)
    started = events[0]
    assert isinstance(started, Started)
    assert OmegaConf.create(started.config).task.x == 1.0
    assert started.time <= ends[0].time


def test_a_trial_that_is_run_again_tells_from_which_iteration_it_went_on(
    stream: BatchStream, launcher: BatchLauncher
) -> None:
    spec = launcher._experiment.prepare(TrialSpec(0, params={"task.x": 1.0}, overrides=("task.x=1.0",)))
    stream.submit(spec)
    waited(stream)
    stream.submit(spec)

    started, resumed, *others = waited(stream)

    assert isinstance(started, Started)
    assert started.attempt == 2
    assert resumed == Resumed(0, attempt=2, step=0)
    assert [type(event) for event in others] == [Report, Ended]


def test_a_job_that_breaks_before_a_further_attempt_began_is_no_end_of_the_one_before(
    stream: BatchStream, launcher: BatchLauncher
) -> None:
    spec = launcher._experiment.prepare(TrialSpec(0, params={"task.x": 1.0}, overrides=("task.x=1.0",)))
    stream.submit(spec)
    waited(stream)
    launcher.breaks_before = {0}
    stream.submit(spec)

    (ended,) = waited(stream)

    assert isinstance(ended, Ended)
    assert (ended.state, "no such partition" in str(ended.reason)) == (State.FAIL, True)


def test_a_job_that_breaks_before_its_its_trial_began_is_a_failure_with_the_launchers_error(
    stream: BatchStream, launcher: BatchLauncher
) -> None:
    launcher.breaks_before = {0}
    submit(stream, launcher, 1.0, 2.0)

    first, *others = waited(stream)

    assert isinstance(first, Ended)
    assert first.state is State.FAIL
    assert "no such partition" in str(first.reason)
    assert {event.number for event in others} == {1}
