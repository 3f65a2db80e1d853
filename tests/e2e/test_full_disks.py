"""A disk that takes no more while several trials run, or the scheduler alone: all leave, and all go on later."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.paths import ExperimentPaths
from tests.e2e.conftest import Run, run_hpo
from tests.e2e.test_disks import assert_as_whole, the_experiment
from tests.e2e.test_resume import python, trials
from tests.projects import make_project

pytestmark = pytest.mark.slow

PROJECT = """
import os, pathlib, resource, time

def run(trial, x):
    for step in (1, 2, 3, 4):
        trial.report({"score": float(x * step)}, step)
        fate, _, place = os.environ.get("HPO_TEST_FATE", "").partition(" ")
        if fate and step == 3:
            # both trials are at work when it happens
            ready = pathlib.Path(f"ready_{x}")
            ready.touch()
            if x == 1 and place in str(trial.dir.root):
                while not pathlib.Path("ready_0").exists():
                    time.sleep(0.005)
                globals()[fate](trial)
            while not trial.must_leave() and not (x == 1 and place not in str(trial.dir.root)):
                time.sleep(0.005)
            if trial.must_leave():
                return

def fill(trial):
    with open(pathlib.Path(trial.config.experiment_dir) / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    trial.dir.root.joinpath("notes").write_bytes(bytes(100_000))

def limit_scheduler(trial):
    server = os.getppid()
    stat = pathlib.Path(f"/proc/{server}/stat").read_text()
    scheduler = int(stat.rpartition(")")[2].split()[1])
    resource.prlimit(scheduler, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    trial.report({"score": 12.0, "limited": 1.0}, 3)
"""
SEARCH = (
    *("+experiment=mine", "--multirun", "search_algo=grid", "+task.x=range(0,3)", "total_trials=3"),
    "concurrent_trials=2",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, ExperimentPaths]:
    """The search that finds room, by the number of replicates."""
    found = {}
    for num_replicates in (1, 2):
        folder = tmp_path_factory.mktemp("whole")
        make_project(folder, PROJECT)
        run = run_hpo(folder, *SEARCH, f"num_replicates={num_replicates}")
        assert run.status == 0, run.stdout + run.stderr
        found[num_replicates] = run.paths
    return found


def paused(folder: Path, monkeypatch: pytest.MonkeyPatch, fate: str, num_replicates: int) -> Run:
    make_project(folder, PROJECT)
    monkeypatch.setenv("HPO_TEST_FATE", fate)
    run = run_hpo(folder, *SEARCH, f"num_replicates={num_replicates}")
    monkeypatch.delenv("HPO_TEST_FATE")
    assert (run.status, "Traceback" in run.stdout + run.stderr) == (75, False), run.stdout + run.stderr
    assert "continue it: python -m hpo.resume " in run.stderr
    assert "trial 0002" not in run.stdout
    return run


def assert_goes_on(folder: Path, paths: ExperimentPaths, whole: ExperimentPaths) -> None:
    done = python(folder, "hpo.resume", str(paths.root))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_as_whole(whole, paths)
    assert [attempt for (attempt,) in trials(paths, "attempt")] == [2, 2, 1]


@pytest.mark.parametrize(("num_replicates", "place"), [(1, "0001_"), (2, "replicate_1")])
def test_when_one_trial_has_filled_the_disk_the_others_leave_and_all_go_on(
    tmp_path: Path,
    disk: Path,
    whole: dict[int, ExperimentPaths],
    monkeypatch: pytest.MonkeyPatch,
    num_replicates: int,
    place: str,
) -> None:
    run = paused(tmp_path, monkeypatch, f"fill {place}", num_replicates)
    paths = the_experiment(tmp_path)
    assert f"hpo: cannot write {paths.root}" in run.stderr
    (disk / "filler").unlink()

    assert_goes_on(tmp_path, paths, whole[num_replicates])


def test_when_the_scheduler_alone_can_write_no_more_its_trials_leave_and_go_on(
    tmp_path: Path, whole: dict[int, ExperimentPaths], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = paused(tmp_path, monkeypatch, "limit_scheduler 0001_", 1).paths

    for (trial_id,) in trials(paths, "trial_id"):
        assert "interrupted, to be continued" in paths.trial(str(trial_id)).metadata.read_text()
    assert_goes_on(tmp_path, paths, whole[1])
