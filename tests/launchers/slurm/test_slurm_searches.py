"""Whole searches in jobs of a real Slurm: their time runs out, they are cancelled, the scheduler dies."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import run_hpo
from tests.e2e.test_resume import python, running, the_paths, trials, wait_for, wait_until
from tests.launchers import waiting_searches
from tests.launchers.search_contract import SearchContract
from tests.launchers.slurm.cluster import Cluster
from tests.launchers.waiting_searches import CODE, assert_whole, go_on, wait_for_reports
from tests.postgresql import PASSWORD
from tests.projects import make_project

pytestmark = pytest.mark.slow

SEARCH = (
    *waiting_searches.SEARCH,
    "hydra/launcher=slurm",
    *("hydra.launcher.poll_s=0.05", "hydra.launcher.queue_poll_s=0.5"),
)


@pytest.fixture
def folder(tmp_path: Path, cluster: Cluster) -> Iterator[Path]:
    make_project(tmp_path, CODE)
    yield tmp_path
    # not a job is left behind, however the search has ended
    (tmp_path / "go").touch()
    for job in cluster.jobs():
        cluster.command("scancel", job)


class TestSlurmSearches(SearchContract):
    launcher = ("hydra/launcher=slurm", "hydra.launcher.poll_s=0.05", "hydra.launcher.queue_poll_s=0.5")

    @pytest.fixture(autouse=True)
    def _of_it(self, cluster: Cluster) -> Iterator[None]:
        self.cluster = cluster
        yield
        # not a job is left behind, however the search has ended
        for job in cluster.jobs():
            cluster.command("scancel", job)

    def assert_nothing_runs(self) -> None:
        assert not self.cluster.jobs()


def test_a_trial_whose_job_runs_out_of_time_goes_on_in_the_same_job(folder: Path) -> None:
    options = ("hydra.launcher.time=1", "hydra.launcher.signal_delay_s=58", "max_retries=0")
    with running(folder, *SEARCH, *options) as process:
        for _ in range(2):
            wait_for(process, "WAITING after")
        go_on(folder)
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said

    assert_whole(the_paths(folder), num_attempts=2)


def test_a_cancelled_job_is_a_failure_of_its_trial_that_is_tried_again(folder: Path, cluster: Cluster) -> None:
    with running(folder, *SEARCH, "total_trials=1", "max_retries=1") as process:
        wait_for_reports(process, folder, 1)
        cluster.command("scancel", *cluster.jobs())
        said = wait_for(process, "FAIL_RECOVERABLE")
        go_on(folder)
        rest = process.communicate(timeout=120)[0]
    assert process.returncode == 0, rest
    assert re.search(r"Slurm job \d+ on node\d was cancelled \(CANCELLED\); retry 1 of 1", said), said

    assert_whole(the_paths(folder), num_attempts=2)


def test_a_node_that_fails_sends_its_trials_elsewhere(folder: Path, cluster: Cluster) -> None:
    with running(folder, *SEARCH, "total_trials=1", "max_retries=0") as process:
        wait_for_reports(process, folder, 1)
        node = cluster.command("squeue", "-h", "-o", "%N").split()[0]
        cluster.stop_node(node)
        try:
            wait_for(process, " (attempt 2)")
            go_on(folder)
            said = process.communicate(timeout=120)[0]
        finally:
            cluster.start_node(node)
    assert process.returncode == 0, said

    states = {state for (state,) in trials(the_paths(folder), "state")}
    assert states == {"COMPLETE"}


def test_a_scheduler_that_comes_back_hears_the_jobs_that_went_on(folder: Path, cluster: Cluster) -> None:
    with running(folder, *SEARCH, "total_trials=3") as process:
        wait_for_reports(process, folder)
        process.send_signal(signal.SIGKILL)
    jobs = cluster.jobs()
    assert set(jobs.values()) == {"RUNNING"}
    paths = the_paths(folder)
    for launcher in ("local", "in_process"):
        other = python(folder, "hpo.resume", str(paths.root), f"hydra/launcher={launcher}")
        assert other.returncode == 2
        assert f"2 jobs of Slurm still run trials of {paths.root}, or wait to" in other.stderr
        assert all(job in other.stderr for job in jobs)
    assert cluster.jobs() == jobs

    with running(folder, *SEARCH, "total_trials=3", "resume=true") as process:
        wait_for(process, "2 trials still run, or wait to, and are heard again")
        for _ in range(2):
            wait_for(process, " started on cpu")
        assert cluster.jobs() == jobs
        go_on(folder)
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said

    assert_whole(paths, num_attempts=1)
    assert not cluster.jobs()


def test_what_ended_while_there_was_no_scheduler_is_taken_from_its_files(folder: Path, cluster: Cluster) -> None:
    with running(folder, *SEARCH) as process:
        wait_for_reports(process, folder)
        process.send_signal(signal.SIGKILL)
    go_on(folder)
    while cluster.jobs():
        time.sleep(0.1)

    resumed = python(folder, "hpo.resume", str(the_paths(folder).root))

    assert resumed.returncode == 0, resumed.stderr
    assert "started" not in resumed.stdout.replace("started on", "", 2)
    assert_whole(the_paths(folder), num_attempts=1)


def test_a_job_that_must_not_be_requeued_is_followed_by_another(folder: Path, cluster: Cluster) -> None:
    options = ("hydra.launcher.requeue=false", "+hydra.launcher.additional_parameters.no-requeue=true")
    with running(folder, *SEARCH, *options, "total_trials=1", "max_retries=0") as process:
        wait_for_reports(process, folder, 1)
        before = set(cluster.jobs())
        # as Slurm does before the time limit
        cluster.command("scancel", "--batch", "--signal=USR1", *before)
        assert "is nearly over" in wait_for(process, "WAITING after")
        wait_for(process, "(attempt 2)")
        go_on(folder)
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said

    assert_whole(the_paths(folder), num_attempts=2)


def test_the_password_of_a_database_reaches_no_job_and_no_file_of_slurm(
    tmp_path: Path, cluster: Cluster, database: str
) -> None:
    code = """
import os
import time
from pathlib import Path

def run(trial, x):
    others = [Path(f"/proc/{pid}/environ").read_text() for pid in ("self", os.getppid())]
    Path("found.part").write_text("".join(map(str, [os.environ, *others])))
    os.rename("found.part", "found.txt")
    while not Path("go").exists():
        time.sleep(0.01)
    return {"score": x}
"""
    make_project(tmp_path, code)
    databases = (f"state_db={database}", f"study_db={database}")
    with running(tmp_path, *SEARCH, *databases, "total_trials=1", "concurrent_trials=1") as process:
        wait_for(process, "started on")
        wait_until(process, (tmp_path / "found.txt").exists)
        told = [path for path in cluster.folder.rglob("*") if path.is_file()]
        assert any(path.name == "environment" for path in told)
        assert not [path for path in told if PASSWORD.encode() in path.read_bytes()]
        (tmp_path / "go").touch()
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert PASSWORD not in (tmp_path / "found.txt").read_text()


@pytest.mark.parametrize(("allowed", "num_processes"), [("1", 8), ("null", 2)])
def test_one_job_runs_several_trials(folder: Path, cluster: Cluster, allowed: str, num_processes: int) -> None:
    go_on(folder)
    options = ("hydra.launcher.trials_per_job=4", f"hydra.launcher.trials_per_process={allowed}")
    run = run_hpo(folder, *SEARCH, "total_trials=8", "concurrent_trials=1", *options)

    assert run.status == 0, run.stderr
    assert_whole(run.paths, num_attempts=1)
    assert len(set(trials(run.paths, "pid"))) == num_processes
    assert len(list(run.paths.slurm.root.glob("*_log.err"))) == 2
    assert not cluster.jobs()


def test_each_trial_has_the_gpu_that_slurm_gives_it_alone(folder: Path) -> None:
    needs = ("resources_per_trial.gpus=1", "total_trials=3", "concurrent_trials=3")
    with running(folder, *SEARCH, *needs) as process:
        wait_for_reports(process, folder, 2)
        devices = {device for _, device in trials(the_paths(folder), "number, device")}
        go_on(folder)
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said

    # there are two, and the third trial waits for one of them
    assert devices == {"cuda:0", "cuda:1", None}


def test_a_job_that_a_more_urgent_one_takes_the_place_of_goes_on_when_that_has_ended(
    folder: Path, cluster: Cluster
) -> None:
    needs = ("hydra.launcher.partition=cheap", "resources_per_trial.cpus=4", "total_trials=1", "max_retries=0")
    with running(folder, *SEARCH, *needs) as process:
        wait_for_reports(process, folder, 1)
        cluster.command("sbatch", "--partition=urgent", "--cpus-per-task=4", "--output=/dev/null", "--wrap=true")
        wait_for(process, "WAITING after")
        go_on(folder)
        said = process.communicate(timeout=170)[0]
    assert process.returncode == 0, said

    assert_whole(the_paths(folder), num_attempts=2)
