"""Trials in processes of their own: how they die, what they leave, what they share."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from hpo.errors import ConfigError
from hpo.records import Report, Started, State, Stop, TrialSpec
from tests.launchers import tasks
from tests.launchers.applications import Task, all_events, opened, opened_hpo, preset, the_end, waited
from tests.launchers.stream_contract import IsolatedStreamContract, StreamContract


class TestLocalStream(IsolatedStreamContract):
    name = "local"


@pytest.mark.slow
class TestLocalStreamThatSpawns(StreamContract):
    name = "local"

    @pytest.fixture(autouse=True)
    def _spawn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from hpo_launchers.local import plugin

        preset(monkeypatch, plugin.LocalLauncher, start_method="spawn")


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (tasks.kill_itself, "its process died: killed by signal 9 (SIGKILL)"),
        (tasks.leave_at_once, "its process died: exited with status 3"),
        (tasks.crash_in_c, "its process died: killed by signal 11 (SIGSEGV)"),
        (tasks.interrupt_itself, "the task was interrupted: KeyboardInterrupt"),
    ],
)
def test_a_trial_that_dies_ends_once_with_the_reason(tmp_path: Path, task: Task, reason: str) -> None:
    with opened("local", task, tmp_path) as launcher:
        launcher.submit(TrialSpec(0))
        ended = the_end(launcher)
        assert waited(launcher, 0.0) == []
    has_died = reason.startswith("its process died")
    assert (ended.state, ended.reason) == (State.FAIL_RECOVERABLE if has_died else State.FAIL, reason)


def test_what_a_trial_reported_before_it_was_killed_arrives(tmp_path: Path) -> None:
    with opened("local", tasks.kill_itself, tmp_path) as launcher:
        launcher.submit(TrialSpec(0))
        reports = [event for event in all_events(launcher, 1) if isinstance(event, Report)]
    assert [report.step for report in reports] == [1]


def test_launch_goes_on_when_a_job_dies(tmp_path: Path) -> None:
    with opened("local", tasks.kill_itself, tmp_path) as launcher:
        (returned,) = launcher.launch([[]], initial_job_idx=0)
    with pytest.raises(RuntimeError, match="SIGKILL"):
        _ = returned.return_value


def test_a_return_value_that_cannot_be_sent_is_described(tmp_path: Path) -> None:
    with opened("local", tasks.return_a_socket, tmp_path) as launcher:
        (returned,) = launcher.launch([[]], initial_job_idx=0)
    with pytest.raises(TypeError, match="cannot be sent to the scheduler"):
        _ = returned.return_value


def test_stop_reaches_a_trial_that_runs(tmp_path: Path) -> None:
    with opened("local", tasks.run_until_stopped, tmp_path) as launcher:
        launcher.submit(TrialSpec(0))
        _wait_for_a_report(launcher)
        launcher.stop(0, Stop.PAUSE)
        assert the_end(launcher).state is State.COMPLETE


def test_a_trial_sees_nothing_of_what_another_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened("local", tasks.change_everything, tmp_path) as launcher:
        returns = launcher.launch([[], [], []], initial_job_idx=0)
    assert [returned.return_value for returned in returns] == [(0, None, str(tmp_path))] * 3
    assert "CHANGED" not in os.environ


def test_a_trial_has_ended_when_what_it_left_behind_is_gone(tmp_path: Path) -> None:
    with opened("local", tasks.leave_a_process_behind, tmp_path) as launcher:
        (returned,) = launcher.launch([[]], initial_job_idx=0)
        assert not psutil.pid_exists(returned.return_value)


def test_a_trial_that_has_ended_and_does_not_leave_its_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hpo_launchers.local._trial._REMARK_S", 0.01)
    task = tasks.end_and_wait_then_say_whether_stopped
    with opened("local", task, tmp_path, "hydra.launcher.concurrency=1") as launcher:
        launcher.submit(TrialSpec(0))
        the_end(launcher)
        launcher.submit(TrialSpec(1))
        while not caplog.messages:
            assert waited(launcher, 0.1) == []
        launcher.stop(0, Stop.LEAVE)
        assert the_end(launcher).number == 1
    (said,) = caplog.messages
    assert said.startswith("WARNING: trial 0 has ended, but its process has not")


def test_close_kills_what_does_not_terminate(tmp_path: Path) -> None:
    with opened("local", tasks.ignore_termination, tmp_path, "hydra.launcher.stop_timeout_s=0.2") as launcher:
        launcher.submit(TrialSpec(0))
        trial = psutil.Process(_wait_for_start(launcher).pid)
        _wait_for_a_report(launcher)
        launcher.close()
        assert not trial.is_running()


def test_close_asks_first(tmp_path: Path) -> None:
    with opened("local", tasks.run_until_stopped, tmp_path, "hydra.launcher.stop_timeout_s=60") as launcher:
        launcher.submit(TrialSpec(0))
        _wait_for_a_report(launcher)
        before = time.monotonic()
        launcher.close()
        assert time.monotonic() - before < 30


def test_trials_end_and_others_start_when_the_server_dies(tmp_path: Path) -> None:
    with opened("local", tasks.run_until_stopped, tmp_path) as launcher:
        launcher.submit(TrialSpec(0))
        started = _wait_for_start(launcher)
        trial = psutil.Process(started.pid)
        trial.parent().kill()  # type: ignore[union-attr]
        assert the_end(launcher).reason == "the server that trials are forked from died"
        psutil.wait_procs([trial], timeout=30)
        launcher.stop(1, Stop.PAUSE)
        launcher.submit(TrialSpec(1))
        assert the_end(launcher).state is State.COMPLETE


def test_nothing_that_a_task_does_not_need_is_loaded(tmp_path: Path) -> None:
    overrides = ("+experiment=noop", f"experiment_dir={tmp_path}", "experiment_id=x")
    with opened_hpo("local", tasks.loaded_modules, *overrides) as launcher:
        (returned,) = launcher.launch([list(overrides[1:])], initial_job_idx=0)
    loaded = {name.partition(".")[0] for name in returned.return_value}
    assert not loaded & {"torch", "torchmetrics", "optuna", "sqlalchemy"}
    assert "hpo.trial.attempt" in returned.return_value


def test_trials_take_turns_on_cuda_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    overrides = ("+experiment=noop", f"experiment_dir={tmp_path}", "concurrent_trials=3", "experiment_id=x")
    with opened_hpo("local", tasks.report_device, *overrides) as launcher:
        for number in range(3):
            launcher.submit(TrialSpec(number, overrides=("device=auto", *overrides[1:])))
        devices = {}
        while len(devices) < 3:
            devices |= {event.number: event.metrics["device"] for event in waited(launcher, 60.0)}
        # the slot that gets free is the only one on its device
        launcher.stop(1, Stop.PAUSE)
        the_end(launcher)
        launcher.submit(TrialSpec(3, overrides=overrides[1:]))
        (report,) = waited(launcher, 60.0)
    assert devices == {0: 3.0, 1: 5.0, 2: 3.0}
    assert report.metrics == {"device": 5.0}


def _spare(launcher: Any) -> psutil.Process:
    """The process that waits for a trial, once there is one."""
    server = psutil.Process(psutil.Process(next(iter(launcher._stream.pids.values()))).ppid())
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        spares = [child for child in server.children() if child.pid not in launcher._stream.pids.values()]
        if spares:
            return spares[0]
        waited(launcher, 0.01)
    raise AssertionError("there is no spare process")


@pytest.mark.parametrize("overrides", [(), ("+x=1",)], ids=["its template", "another template"])
def test_the_next_trial_runs_in_a_process_that_has_waited_for_it(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    with opened("local", tasks.run_until_stopped, tmp_path, "hydra.launcher.concurrency=2") as launcher:
        launcher.submit(TrialSpec(0))
        _wait_for_a_report(launcher)
        spare = _spare(launcher)
        launcher.submit(TrialSpec(1, overrides=overrides))
        (started,) = (event for event in waited(launcher, 60.0) if isinstance(event, Started))
        assert (started.number, started.pid) == (1, spare.pid)
        launcher.stop(1, Stop.PAUSE)
        assert the_end(launcher).state is State.COMPLETE
        left = _spare(launcher)
        launcher.close()
        for process in (spare, left):
            # one whose parent was killed may wait to be reaped
            assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_died_while_it_waited_is_no_trials_failure(tmp_path: Path) -> None:
    with opened("local", tasks.run_until_stopped, tmp_path, "hydra.launcher.concurrency=2") as launcher:
        launcher.submit(TrialSpec(0))
        _wait_for_a_report(launcher)
        spare = _spare(launcher)
        spare.kill()
        while launcher._stream._pool._spares:  # until the server has told of it
            waited(launcher, 0.01)
        launcher.stop(1, Stop.PAUSE)
        launcher.submit(TrialSpec(1))
        assert the_end(launcher).state is State.COMPLETE


def test_a_later_job_of_a_number_is_not_taken_for_the_one_that_has_left(tmp_path: Path) -> None:
    with opened("local", tasks.say_how_it_ended_and_leave_when_stopped, tmp_path) as launcher:
        stream = launcher._stream
        ready = stream._selector.select
        # the server's news before the trial's end of file, an order in which they may come
        stream._selector.select = lambda timeout_s: sorted(
            ready(timeout_s), key=lambda one: one[0].data is not None
        )
        launcher.submit(TrialSpec(0))
        the_end(launcher)
        both = [stream._pool._server, stream._running[0].process.reader]
        launcher.stop(0, Stop.PAUSE)
        while len(select.select(both, [], [], 60.0)[0]) < len(both):
            pass
        launcher.submit(TrialSpec(0))
        assert the_end(launcher).metrics == {"loss": 2.0}


def test_what_a_trial_prints_is_in_its_log(tmp_path: Path) -> None:
    (tmp_path / "0000_aaaa").mkdir()
    with opened("local", tasks.print_a_line, tmp_path) as launcher:
        launcher.submit(TrialSpec(0, subdir="0000_aaaa"))
        assert the_end(launcher).state is State.COMPLETE
    log = (tmp_path / "0000_aaaa" / "train.log").read_text()
    assert log.splitlines() == ["printed by the task", "printed by what it started"]


def test_an_unknown_start_method_is_an_error_that_names_those_known(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="start_method=fork is not known; allowed are forkserver and spawn"),
        opened("local", tasks.return_number, tmp_path, "hydra.launcher.start_method=fork"),
    ):
        pass


def _wait_for_start(launcher: Any) -> Started:
    (started,) = waited(launcher, 60.0)[:1]
    assert isinstance(started, Started)
    return started


def _wait_for_a_report(launcher: Any) -> None:
    while not any(isinstance(event, Report) for event in waited(launcher, 60.0)):
        pass
