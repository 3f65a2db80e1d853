"""Trials in actors of a real Ray: what every launcher promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.records import Report, State, TrialSpec
from tests.launchers import tasks
from tests.launchers.applications import opened, the_end, waited
from tests.launchers.stream_contract import StreamContract

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _joined(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo_launchers.ray import plugin

    initialize = plugin.RayLauncher.__init__
    joined = {"address": cluster.address, "concurrency": 2, "stop_timeout_s": 2.0}
    monkeypatch.setattr(
        plugin.RayLauncher, "__init__", lambda self, **options: initialize(self, **{**options, **joined})
    )


class TestRayStream(StreamContract):
    name = "ray"

    def test_a_trial_that_dies_ends_once_with_the_reason_and_others_follow(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.kill_itself, tmp_path) as launcher:
            for _ in range(2):
                launcher.submit(TrialSpec(0))
                ended = the_end(launcher)
                assert ended.state is State.FAIL_RECOVERABLE
                assert ended.reason == "its process died: killed by signal 9 (SIGKILL)"

    def test_a_trial_that_does_not_listen_is_killed_and_its_slot_goes_on(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.ignore_termination, tmp_path) as launcher:
            launcher.submit(TrialSpec(0))
            while not any(isinstance(event, Report) for event in waited(launcher, 60.0)):
                pass
            launcher.kill(0, "it stalled", State.FAIL_RECOVERABLE)
            ended = the_end(launcher)
        assert (ended.state, ended.reason) == (State.FAIL_RECOVERABLE, "it stalled")

    def test_trials_one_after_the_other_share_their_worker(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.return_parent, tmp_path) as launcher:
            returns = launcher.launch([[] for _ in range(6)], initial_job_idx=0)
        assert len({returned.return_value for returned in returns}) == launcher.capacity
