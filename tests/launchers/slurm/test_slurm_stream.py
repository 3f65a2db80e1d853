"""Trials in jobs of a real Slurm: what every launcher promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.launchers import tasks
from tests.launchers.applications import opened, preset
from tests.launchers.slurm.cluster import Cluster
from tests.launchers.stream_contract import IsolatedStreamContract

QUICK: dict[str, Any] = {
    "concurrency": 2,
    "trials_per_job": 5,
    "poll_s": 0.05,
    "queue_poll_s": 1.0,
    "stop_timeout_s": 2.0,
}


@pytest.mark.slow
class TestSlurmStream(IsolatedStreamContract):
    name = "slurm"

    @pytest.fixture(autouse=True)
    def _quick(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        from hpo_launchers.slurm import plugin

        preset(monkeypatch, plugin.SlurmLauncher, **QUICK)

    def test_trials_of_a_job_share_their_process_where_that_is_wanted(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.return_pid, tmp_path, "hydra.launcher.trials_per_process=null") as launcher:
            returns = launcher.launch([[] for _ in range(6)], initial_job_idx=0)
        # fewer where one job has ended them all before the next one was there
        assert len({returned.return_value for returned in returns}) <= launcher.capacity
