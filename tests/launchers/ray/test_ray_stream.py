"""Trials in actors of a real Ray: what every launcher promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.launchers import tasks
from tests.launchers.applications import opened, preset
from tests.launchers.stream_contract import IsolatedStreamContract

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _joined(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo_launchers.ray import plugin

    joined = {"address": cluster.address, "concurrency": 2, "stop_timeout_s": 2.0}
    preset(monkeypatch, plugin.RayLauncher, **joined)


class TestRayStream(IsolatedStreamContract):
    name = "ray"

    def test_trials_one_after_the_other_share_their_worker(self, tmp_path: Path) -> None:
        with opened(self.name, tasks.return_parent, tmp_path) as launcher:
            returns = launcher.launch([[] for _ in range(6)], initial_job_idx=0)
        # fewer where one slot has ended them all before the next one was there
        assert len({returned.return_value for returned in returns}) <= launcher.capacity

    def test_trials_one_after_the_other_share_their_process_where_that_is_wanted(self, tmp_path: Path) -> None:
        pids = {}
        for allowed in ("1", "null"):
            kept = f"hydra.launcher.trials_per_process={allowed}"
            with opened(self.name, tasks.return_pid, tmp_path, kept) as launcher:
                returns = launcher.launch([[] for _ in range(6)], initial_job_idx=0)
            pids[allowed] = {returned.return_value for returned in returns}
        assert len(pids["1"]) == 6
        assert len(pids["null"]) <= launcher.capacity
