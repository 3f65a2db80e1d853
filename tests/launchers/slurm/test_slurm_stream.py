"""Trials in jobs of a real Slurm: what every launcher promises."""

from __future__ import annotations

from typing import Any

import pytest

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

        initialize = plugin.SlurmLauncher.__init__
        monkeypatch.setattr(
            plugin.SlurmLauncher, "__init__", lambda self, **options: initialize(self, **{**options, **QUICK})
        )
