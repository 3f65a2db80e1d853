"""What every launcher promises as a hpo.search.stream.Stream and as Hydra's launcher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.errors import ObjectiveError
from hpo.records import Ended, Event, Report, Started, State, Stop, TrialSpec
from hpo.search.stream import Hear, Stream
from tests.launchers import tasks
from tests.launchers.applications import all_events, opened, the_end, waited


class StreamContract:
    """Inherited by the tests of each launcher."""

    name: str

    def test_it_is_a_stream(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.return_number, tmp_path) as launcher:
            assert isinstance(launcher, Stream)
            assert launcher.capacity >= 1

    def test_a_trial_starts_reports_in_order_and_ends_once(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.report_thrice, tmp_path) as launcher:
            launcher.submit(TrialSpec(7))
            started, *reports, ended = all_events(launcher, 1)
            assert waited(launcher, 0.0) == []
        assert isinstance(started, Started)
        assert started.pid > 0
        assert [report.step for report in reports if isinstance(report, Report)] == [1, 2, 3]
        assert isinstance(ended, Ended)
        assert (ended.number, ended.state, ended.reason) == (7, State.COMPLETE, None)

    def test_twenty_thousand_reports_neither_block_a_trial_nor_get_lost(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.report_thousands, tmp_path) as launcher:
            launcher.submit(TrialSpec(0))
            reports = [event for event in all_events(launcher, 1) if isinstance(event, Report)]
        assert [report.step for report in reports] == list(range(1, 20_001))

    def test_more_trials_than_slots_all_run(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.return_number, tmp_path) as launcher:
            num_trials = 2 * launcher.capacity + 1
            for number in range(num_trials):
                launcher.submit(TrialSpec(number))
            ends = [event for event in all_events(launcher, num_trials) if isinstance(event, Ended)]
        assert sorted(ended.number for ended in ends) == list(range(num_trials))

    def test_an_error_of_the_task_is_one_line_and_a_traceback(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.raise_error, tmp_path) as launcher:
            launcher.submit(TrialSpec(0))
            ended = the_end(launcher)
        assert ended.state is State.FAIL
        assert ended.reason == "ValueError: the learning rate is 0"
        assert ended.traceback is not None
        assert "in raise_error" in ended.traceback

    def test_a_task_that_exits_fails(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.exit_3, tmp_path) as launcher:
            launcher.submit(TrialSpec(0))
            ended = the_end(launcher)
        assert (ended.state, ended.reason) == (State.FAIL, "the task called sys.exit(3)")

    def test_a_task_that_speaks_of_its_own_end_is_believed(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.say_how_it_ended, tmp_path) as launcher:
            launcher.submit(TrialSpec(0))
            ended = the_end(launcher)
        assert (ended.state, ended.reason) == (State.PRUNED_POOR_PERFORMANCE, "diverged")
        assert ended.metrics == {"loss": 2.0}

    def test_a_trial_that_is_stopped_before_it_starts_finds_out(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.report_whether_stopped, tmp_path) as launcher:
            launcher.stop(0, Stop.PAUSE)
            launcher.submit(TrialSpec(0))
            (report,) = [event for event in all_events(launcher, 1) if isinstance(event, Report)]
        assert report.metrics == {"stopped": 1.0}

    @pytest.mark.parametrize("runs_already", [True, False])
    def test_a_trial_that_must_leave_does_whatever_else_it_is_told(
        self, tmp_path: Path, runs_already: bool
    ) -> None:
        heard: list[Event] = []

        def hear(event: Event) -> None:
            heard.append(event)
            if runs_already and isinstance(event, Report) and event.step == 1:
                tell()

        def tell() -> None:
            launcher.stop(0, Stop.LEAVE)
            launcher.stop(0, Stop.PRUNE)

        with opened(self.name, tasks.report_until_stopped, tmp_path) as launcher:
            if not runs_already:
                tell()
            launcher.submit(TrialSpec(0))
            while not any(isinstance(event, Ended) for event in heard):
                launcher.wait(hear, 60.0)
        (*_, last, _) = heard
        assert isinstance(last, Report)
        assert last.metrics == {"pruned": 0.0}

    def test_what_a_trial_was_told_is_not_told_to_its_next_attempt(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.report_whether_stopped, tmp_path) as launcher:
            launcher.stop(0, Stop.PRUNE)
            for stopped in (1.0, 0.0):
                launcher.submit(TrialSpec(0))
                (report,) = [event for event in all_events(launcher, 1) if isinstance(event, Report)]
                assert report.metrics == {"stopped": stopped}

    def test_a_trial_that_will_lose_finds_out_while_it_goes_on(self, tmp_path: Path) -> None:
        heard: list[Event] = []

        def hear(event: Event) -> None:
            heard.append(event)
            if isinstance(event, Report) and event.step == 1:
                launcher.stop(0, Stop.PRUNE)

        with opened(self.name, tasks.report_until_stopped, tmp_path) as launcher:
            launcher.submit(TrialSpec(0))
            while not any(isinstance(event, Ended) for event in heard):
                launcher.wait(hear, 60.0)
        (*_, last, _) = heard
        assert isinstance(last, Report)
        assert last.metrics == {"pruned": 1.0}

    def test_what_the_scheduler_raises_while_it_hears_reaches_the_scheduler(self, tmp_path: Path) -> None:
        def hear(event: Event) -> None:
            if isinstance(event, Report):
                raise ObjectiveError("no such metric")

        with opened(self.name, tasks.report_until_stopped, tmp_path) as launcher:
            launcher.submit(TrialSpec(0))
            with pytest.raises(ObjectiveError, match="no such metric"):
                _hear_until_it_raises(launcher, hear)

    def test_nothing_to_wait_for_is_no_wait(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.return_number, tmp_path) as launcher:
            assert waited(launcher) == []

    def test_it_can_be_closed_twice(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.return_number, tmp_path) as launcher:
            launcher.close()
            launcher.close()

    def test_launch_returns_in_the_order_of_its_jobs(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.return_number, tmp_path) as launcher:
            returns = launcher.launch([[f"+x={number}"] for number in range(5)], initial_job_idx=3)
            again = launcher.launch([["+x=1"]], initial_job_idx=8)
        assert [returned.return_value for returned in returns] == [3, 4, 5, 6, 7]
        assert [returned.overrides for returned in returns] == [[f"+x={number}"] for number in range(5)]
        assert [returned.return_value for returned in again] == [8]

    def test_launch_returns_the_error_of_a_job_that_failed(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.raise_error, tmp_path) as launcher:
            (returned,) = launcher.launch([[]], initial_job_idx=0)
        with pytest.raises(ValueError, match="the learning rate is 0"):
            _ = returned.return_value


class IsolatedStreamContract(StreamContract):
    """Of launchers whose trials have processes of their own, which may die."""

    def test_a_trial_that_dies_ends_once_with_the_reason_and_others_follow(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.kill_itself, tmp_path) as launcher:
            for _ in range(2):
                launcher.submit(TrialSpec(0))
                ended = the_end(launcher)
                assert ended.state is State.FAIL_RECOVERABLE
                assert ended.reason == "its process died: killed by signal 9 (SIGKILL)"

    def test_a_trial_that_does_not_listen_is_killed_and_another_one_follows(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.ignore_termination, tmp_path) as launcher:
            launcher.submit(TrialSpec(0))
            while not any(isinstance(event, Report) for event in waited(launcher, 60.0)):
                pass
            launcher.kill(0, "it stalled", State.FAIL_RECOVERABLE)
            ended = the_end(launcher)
            assert (ended.state, ended.reason) == (State.FAIL_RECOVERABLE, "it stalled")
            launcher.submit(TrialSpec(1))
            while not any(isinstance(event, Report) for event in waited(launcher, 60.0)):
                pass
            launcher.kill(1, "it stalled too", State.FAIL)
            ended = the_end(launcher)
        assert (ended.number, ended.state, ended.reason) == (1, State.FAIL, "it stalled too")


def _hear_until_it_raises(launcher: Any, hear: Hear) -> None:
    for _ in range(10):
        launcher.wait(hear, 60.0)
