"""Whole searches on a real Ray: nodes fail, the scheduler dies, trials are stopped."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import run_hpo
from tests.e2e.test_resume import python, running, the_paths, trials, wait_for
from tests.launchers import waiting_searches
from tests.launchers.ray.conftest import SMALL, head, kill, kill_head_alone
from tests.launchers.search_contract import SearchContract
from tests.launchers.waiting_searches import CODE, assert_whole, go_on, wait_for_reports
from tests.projects import make_project

pytestmark = pytest.mark.slow

SEARCH = (*waiting_searches.SEARCH, "hydra/launcher=ray")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("ray")
    make_project(tmp_path, CODE)
    return tmp_path


@contextmanager
def node(cluster: Any, **resources: float) -> Iterator[Any]:
    """A further node of the cluster; it may be gone before the block is."""
    added = cluster.add_node(**{**SMALL, "num_cpus": 1}, resources=resources)
    try:
        yield added
    finally:
        if added in cluster.list_all_nodes():
            cluster.remove_node(added, allow_graceful=False)


def processes_below(folder: Path) -> list[psutil.Process]:
    """What still runs in the folder of a search, as all of its trials do."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


class TestRaySearches(SearchContract):
    @pytest.fixture(autouse=True)
    def _joined(self, cluster: Any) -> None:
        self.launcher = ("hydra/launcher=ray", f"hydra.launcher.address={cluster.address}")


@pytest.mark.parametrize("needs", [("1",), ("1", "2")], ids=["of one size", "of two sizes"])
def test_more_trials_at_a_time_than_fit_take_their_turns(
    tmp_path: Path, cluster: Any, needs: tuple[str, ...]
) -> None:
    make_project(tmp_path, "def run(trial, x, cpus=1):\n    trial.report({'score': x}, 1)")
    run = run_hpo(
        tmp_path,
        *("+experiment=mine", "--multirun", "total_trials=10", "concurrent_trials=5", "duplicates=run"),
        *("+task.x=interval(0,1)", "+task.cpus=1", f"task.cpus=choice({','.join(needs)})"),
        "hydra/sweeper/sampler=random",
        *("hydra/launcher=ray", f"hydra.launcher.address={cluster.address}"),
        "resources_per_trial.cpus=${task.cpus}",
    )
    assert run.status == 0, run.stdout + run.stderr
    assert run.trials("state") == [("COMPLETE",)] * 10


def test_a_node_that_is_lost_sends_its_trial_elsewhere_and_it_goes_on_there(folder: Path, cluster: Any) -> None:
    joined = (f"hydra.launcher.address={cluster.address}", "hydra.launcher.resources={far:1}")
    with (
        node(cluster, far=1) as first,
        running(folder, *SEARCH, *joined, "total_trials=1", "max_retries=1") as process,
    ):
        wait_for_reports(process, folder, 1)
        with node(cluster, far=1):
            cluster.remove_node(first, allow_graceful=False)
            assert "died" in wait_for(process, "FAIL_RECOVERABLE")
            wait_for(process, "(attempt 2)")
            go_on(folder)
            said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said

    assert_whole(the_paths(folder), num_attempts=2)


@pytest.mark.parametrize("lose", [kill, kill_head_alone])
def test_a_cluster_whose_head_is_lost_is_told_and_its_trials_go_on_in_another(
    folder: Path, lose: Callable[[psutil.Process], None]
) -> None:
    with head() as (address, process):
        joined = (f"hydra.launcher.address={address}", "hydra.launcher.head_timeout_s=4")
        with running(folder, *SEARCH, *joined) as scheduler:
            wait_for_reports(scheduler, folder)
            lose(process)
            said = scheduler.communicate(timeout=90)[0]
            # nothing may write what the next scheduler goes on with
            assert not psutil.wait_procs(processes_below(folder), timeout=10)[1]
    assert scheduler.returncode == 2, said
    assert "has not answered for 4 s" in said
    assert "Traceback" not in said
    root = the_paths(folder).root
    assert f"python -m hpo.resume {root}" in said
    go_on(folder)

    with head() as (address, _):
        joined = ("hydra/launcher=ray", f"hydra.launcher.address={address}")
        resumed = python(folder, "hpo.resume", str(root), *joined)

    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert_whole(the_paths(folder), num_attempts=2)


def test_trials_die_with_a_scheduler_that_is_killed_when_the_head_is_gone_already(folder: Path) -> None:
    with head() as (address, process):
        joined = (f"hydra.launcher.address={address}", "hydra.launcher.head_timeout_s=600")
        with running(folder, *SEARCH, *joined) as scheduler:
            wait_for_reports(scheduler, folder)
            kill_head_alone(process)
            assert len(processes_below(folder)) > 2
            scheduler.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(processes_below(folder), timeout=20)
        assert not alive


def test_a_worker_that_is_killed_is_a_failure_of_its_trial_that_is_tried_again(folder: Path, cluster: Any) -> None:
    joined = f"hydra.launcher.address={cluster.address}"
    with running(folder, *SEARCH, joined, "total_trials=1", "max_retries=1") as process:
        wait_for_reports(process, folder, 1)
        ((pid,),) = trials(the_paths(folder), "pid")
        assert isinstance(pid, int)
        parents = psutil.Process(pid).parents()
        worker = next(parent for parent in parents if "ray::" in " ".join(parent.cmdline()))
        worker.kill()
        assert "its Ray worker on" in wait_for(process, "FAIL_RECOVERABLE")
        go_on(folder)
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said

    assert_whole(the_paths(folder), num_attempts=2)


def test_trials_die_with_a_scheduler_that_is_killed_and_go_on_when_it_is_back(folder: Path, cluster: Any) -> None:
    joined = f"hydra.launcher.address={cluster.address}"
    with running(folder, *SEARCH, joined) as process:
        wait_for_reports(process, folder)
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(processes_below(folder), timeout=60)
    assert not alive
    go_on(folder)

    resumed = python(folder, "hpo.resume", str(the_paths(folder).root))

    assert resumed.returncode == 0, resumed.stderr
    assert_whole(the_paths(folder), num_attempts=2)


def test_ctrl_c_lets_trials_leave_and_nothing_of_the_ray_that_was_started_here_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as Ray has it by itself: with a token, which it makes
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.setenv("HOME", str(folder))
    with running(folder, *SEARCH, "hydra.launcher.address=local") as process:
        wait_for_reports(process, folder)
        of_ray = psutil.Process(process.pid).children(recursive=True)
        assert any("raylet" in " ".join(each.cmdline()) for each in of_ray)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 75, said
    assert trials(the_paths(folder), "state, reason") == [("WAITING", "interrupted, to be continued")] * 2
    assert not psutil.wait_procs(of_ray, timeout=30)[1]


def test_modules_and_variables_come_with_the_runtime_environment(tmp_path: Path, cluster: Any) -> None:
    folder, brought = tmp_path / "project", tmp_path / "elsewhere" / "brought"
    folder.mkdir()
    brought.mkdir(parents=True)
    (brought / "__init__.py").write_text("ALL_STEPS = 2")
    code = """
import os

def run(trial, x):
    import brought
    for step in range(1, brought.ALL_STEPS + 1):
        trial.report({"score": float(os.environ["MINE"])}, step)
"""
    make_project(folder, code)
    env = f"{{py_modules: [{brought}], env_vars: {{MINE: '3'}}}}"
    joined = f"hydra.launcher.address={cluster.address}"

    run = run_hpo(folder, *SEARCH, joined, f"hydra.launcher.runtime_env={env}")

    assert run.status == 0, run.stdout + run.stderr
    assert {json.loads(metrics)["score"] for (metrics,) in run.trials("metrics")} == {3.0}
