"""Processes that run several trials: which of them go on, what the next trial finds, and when they leave."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from hpo.errors import ConfigError
from hpo.paths import TrialPaths
from hpo.records import Ended, Event, Report, Started, State, Stop, TrialSpec
from hpo_launchers.local import _pool
from tests.e2e.conftest import run_hpo
from tests.launchers import tasks
from tests.launchers.applications import Task, all_events, opened, opened_hpo, preset, the_end, waited
from tests.launchers.search_contract import SearchContract
from tests.launchers.stream_contract import IsolatedStreamContract
from tests.projects import make_project

ANY = "hydra.launcher.trials_per_process=null"
ONE_AT_A_TIME = "hydra.launcher.concurrency=1"


class TestLocalStreamThatKeepsItsProcesses(IsolatedStreamContract):
    name = "local"

    @pytest.fixture(autouse=True)
    def _keep(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from hpo_launchers.local import plugin

        preset(monkeypatch, plugin.LocalLauncher, trials_per_process=None)


@pytest.mark.slow
class TestLocalSearchesThatKeepTheirProcesses(SearchContract):
    launcher = ("hydra/launcher=local", ANY)


def returned(directory: Path, task: Task, num_jobs: int, *overrides: str) -> list[Any]:
    """What jobs return that run one after the other."""
    with opened("local", task, directory, ONE_AT_A_TIME, *overrides) as launcher:
        returns = launcher.launch([[] for _ in range(num_jobs)], initial_job_idx=0)
    return [each.return_value for each in returns]


@pytest.mark.parametrize(
    ("allowed", "expected"), [("1", [1, 1, 1, 1, 1]), ("2", [2, 2, 1]), ("null", [5])], ids=str
)
def test_a_process_runs_as_many_trials_as_it_may(tmp_path: Path, allowed: str, expected: list[int]) -> None:
    pids = returned(tmp_path, tasks.return_pid, 5, f"hydra.launcher.trials_per_process={allowed}")
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == expected


def test_so_does_a_process_that_was_not_forked(tmp_path: Path) -> None:
    spawned = ("hydra.launcher.start_method=spawn", "hydra.launcher.trials_per_process=2")
    pids = returned(tmp_path, tasks.return_pid, 3, *spawned)
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 1]


def test_processes_are_kept_when_nobody_wants_what_a_job_returns(tmp_path: Path) -> None:
    with opened("local", tasks.return_pid, tmp_path, ONE_AT_A_TIME, ANY) as launcher:
        for number in range(3):
            launcher.submit(TrialSpec(number))
        pids = {event.pid for event in all_events(launcher, 3) if isinstance(event, Started)}
    assert len(pids) == 1


def test_environment_directory_and_warnings_are_as_they_were_and_the_rest_as_it_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = returned(tmp_path, tasks.change_everything, 3, ANY)
    assert found == [(num_changes, None, str(tmp_path)) for num_changes in range(3)]
    assert returned(tmp_path, tasks.warn, 2, ANY) == [1, 1]


@pytest.mark.parametrize(
    ("task", "state"),
    [
        (tasks.raise_error, State.FAIL),
        (tasks.exit_3, State.FAIL),
        (tasks.kill_itself, State.FAIL_RECOVERABLE),
        (tasks.leave_a_process_behind, State.COMPLETE),
        (tasks.leave_a_thread_behind, State.COMPLETE),
    ],
)
def test_a_process_leaves_when_its_trial_fails_or_leaves_something_behind(
    tmp_path: Path, task: Task, state: State
) -> None:
    with opened("local", task, tmp_path, ONE_AT_A_TIME, ANY) as launcher:
        for number in range(2):
            launcher.submit(TrialSpec(number))
        events = all_events(launcher, 2)
    assert [event.state for event in events if isinstance(event, Ended)] == [state, state]
    assert len({event.pid for event in events if isinstance(event, Started)}) == 2


def test_what_a_trial_left_behind_is_gone_with_its_process(tmp_path: Path) -> None:
    (left_behind,) = returned(tmp_path, tasks.leave_a_process_behind, 1, ANY)
    assert not psutil.pid_exists(left_behind)


def test_a_trial_that_is_killed_takes_its_process_with_it(tmp_path: Path) -> None:
    with opened("local", tasks.run_until_stopped, tmp_path, ONE_AT_A_TIME, ANY) as launcher:
        launcher.submit(TrialSpec(0))
        _wait_for_a_report(launcher)
        first = launcher._stream.pids[0]
        launcher.kill(0, "it stalled", State.FAIL_RECOVERABLE)
        assert the_end(launcher).reason == "it stalled"
        launcher.submit(TrialSpec(1))
        _wait_for_a_report(launcher)
        assert launcher._stream.pids[1] != first


def test_what_comes_too_late_for_a_trial_is_not_told_to_the_next_one(tmp_path: Path) -> None:
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Ended) and event.number == 0:
            # the first lets the task return, and the second finds nobody who listens
            launcher.stop(0, Stop.LEAVE)
            launcher.stop(0, Stop.LEAVE)

    with opened("local", tasks.end_and_wait_then_say_whether_stopped, tmp_path, ONE_AT_A_TIME, ANY) as launcher:
        for number in range(2):
            launcher.submit(TrialSpec(number))
        while sum(isinstance(event, Ended) for event in heard) < 2:
            launcher.wait(hear, 60.0)
    assert len({event.pid for event in heard if isinstance(event, Started)}) == 1
    (report,) = [event for event in heard if isinstance(event, Report)]
    assert (report.number, report.metrics) == (1, {"stopped": 0.0})


def test_a_thread_of_a_trial_that_is_over_does_not_speak_for_the_next_one(tmp_path: Path) -> None:
    with opened("local", tasks.report_also_from_a_thread_that_stays, tmp_path, ONE_AT_A_TIME, ANY) as launcher:
        for number in range(2):
            launcher.submit(TrialSpec(number))
        events = all_events(launcher, 2)
    assert len({event.pid for event in events if isinstance(event, Started)}) == 1
    assert [(event.number, event.step) for event in events if isinstance(event, Report)] == [(0, 1), (1, 1)]


def test_a_trial_never_runs_in_a_process_that_has_seen_another_gpu(tmp_path: Path) -> None:
    gpus = "hydra.launcher.devices.gpus={0:24000,1:24000}"
    overrides = (
        *("+experiment=noop", f"experiment_dir={tmp_path}", "experiment_id=x"),
        *("device=auto", "resources_per_trial.gpus=1", "concurrent_trials=2"),
    )
    pid_of_device: dict[float, int] = {}
    with opened_hpo("local", tasks.report_device, *overrides, gpus, ANY) as launcher:
        for first in (0, 2):
            devices: dict[int, float] = {}
            for number in (first, first + 1):
                launcher.submit(TrialSpec(number, overrides=overrides[1:]))
            while len(devices) < 2:
                events = waited(launcher, 60.0)
                devices |= {each.number: each.metrics["device"] for each in events if isinstance(each, Report)}
            for number, device in devices.items():
                pid = launcher._stream.pids[number]
                assert pid_of_device.setdefault(device, pid) == pid
            # the one on the second GPU has left its process last, and the first GPU is given out first
            for number in sorted(devices, key=lambda number: devices[number]):
                launcher.stop(number, Stop.PAUSE)
                the_end(launcher)
                while number in launcher._stream.pids:
                    waited(launcher, 0.01)
    assert len(set(pid_of_device.values())) == 2


def test_a_process_for_which_no_trial_comes_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pool, "_IDLE_S", 0.05)
    with opened("local", tasks.wait_if_it_is_the_first, tmp_path, "hydra.launcher.concurrency=2", ANY) as launcher:
        launcher.submit(TrialSpec(0))
        launcher.submit(TrialSpec(1))
        pids: dict[int, psutil.Process] = {}
        while len(pids) < 2 or 1 in launcher._stream.pids:
            for event in waited(launcher, 60.0):
                if isinstance(event, Started):
                    pids[event.number] = psutil.Process(event.pid)
        # nothing else happens in the launcher meanwhile
        deadline = time.monotonic() + 60.0
        while pids[1].is_running():
            assert time.monotonic() < deadline
            launcher.wait(lambda _: None, 0.1)
        assert pids[0].is_running()
        launcher.stop(0, Stop.PAUSE)
        the_end(launcher)


def test_what_is_to_be_done_at_the_end_of_a_process_is_done_at_its_end(tmp_path: Path) -> None:
    log = tmp_path / "exits"
    with opened("local", tasks.note_exit, tmp_path, ONE_AT_A_TIME, ANY) as launcher:
        launcher.launch([[f"+file={log}"] for _ in range(3)], initial_job_idx=0)
        assert not log.exists()
    assert log.read_text().splitlines() == ["exit"] * 3


def test_each_trial_has_its_own_log(tmp_path: Path) -> None:
    make_project(
        tmp_path,
        """
import os
import sys

def run(trial, x):
    print("trial", trial.number)
    sys.stdout.write("no end of line")
    trial.report({"score": float(os.getpid())}, 1)
""",
    )
    run = run_hpo(
        tmp_path,
        *("+experiment=mine", "--multirun", "+task.x=choice(0,1,2,3)", "search_algo=grid", "concurrent_trials=1"),
        ANY,
    )
    assert run.status == 0, run.stdout + run.stderr
    rows = run.trials("number, trial_id, state, metrics")
    assert len(rows) == 4
    assert len({row[3] for row in rows}) == 1
    for number, trial_id, _, _ in rows:
        log = TrialPaths(run.paths.root / trial_id).log.read_text()
        assert f"trial {number}\n" in log
        assert log.count("no end of line") == 1
        assert sum(line.startswith("trial ") for line in log.splitlines()) == 1


@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_number_of_trials_that_cannot_be_is_an_error(tmp_path: Path, number: str) -> None:
    with (
        pytest.raises(ConfigError, match=rf"trials_per_process={number} must be at least 1, or null"),
        opened("local", tasks.return_number, tmp_path, f"hydra.launcher.trials_per_process={number}"),
    ):
        pass


def _wait_for_a_report(launcher: Any) -> None:
    while not any(isinstance(event, Report) for event in waited(launcher, 60.0)):
        pass
