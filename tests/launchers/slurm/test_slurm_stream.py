"""Trials in jobs of a real Slurm: what every launcher promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.records import Report, State, TrialSpec
from tests.launchers import tasks
from tests.launchers.applications import opened, the_end, waited
from tests.launchers.slurm.cluster import Cluster
from tests.launchers.stream_contract import StreamContract

QUICK: dict[str, Any] = {
    "concurrency": 2,
    "trials_per_job": 5,
    "poll_s": 0.05,
    "queue_poll_s": 1.0,
    "stop_timeout_s": 2.0,
}


@pytest.mark.slow
class TestSlurmStream(StreamContract):
    name = "slurm"

    @pytest.fixture(autouse=True)
    def _quick(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        from hpo_launchers.slurm import plugin

        initialize = plugin.SlurmLauncher.__init__
        monkeypatch.setattr(
            plugin.SlurmLauncher, "__init__", lambda self, **options: initialize(self, **{**options, **QUICK})
        )

    def test_a_trial_that_dies_ends_once_with_the_reason_and_others_follow(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.kill_itself, tmp_path) as launcher:
            for _ in range(2):
                launcher.submit(TrialSpec(0))
                ended = the_end(launcher)
                assert ended.state is State.FAIL_RECOVERABLE
                assert ended.reason == "its process died: killed by signal 9 (SIGKILL)"

    def test_a_trial_that_does_not_listen_is_killed_and_its_job_goes_on(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.ignore_termination, tmp_path) as launcher:
            launcher.submit(TrialSpec(0))
            while not any(isinstance(event, Report) for event in waited(launcher, 60.0)):
                pass
            launcher.kill(0, "it stalled", State.FAIL_RECOVERABLE)
            ended = the_end(launcher)
        assert (ended.state, ended.reason) == (State.FAIL_RECOVERABLE, "it stalled")
