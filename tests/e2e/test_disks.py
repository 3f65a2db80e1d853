"""Disks that get full or read-only under a search, and files that are damaged between two."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo import status
from hpo.paths import ExperimentPaths
from tests.e2e.conftest import command, environment
from tests.e2e.test_resume import python, reports, results, study_of, the_paths, trials

pytestmark = pytest.mark.slow

SEARCH = (
    *("+experiment=mine", "--multirun", "search_algo=grid", "concurrent_trials=1", "+task.x=range(0,3)"),
    # which checkpoints need, and each trial would otherwise import for itself
    "hydra.launcher.preload=[torch]",
)
# what befalls trial 1 at its third step, as long as the environment names it
TASK = """
import os, pathlib, subprocess

def run(trial, x):
    state = trial.restore() or {"step": 0}
    for step in range(state["step"] + 1, 5):
        if x == 1 and step == 3 and "HPO_TEST_FATE" in os.environ:
            globals()[os.environ["HPO_TEST_FATE"]](trial)
        trial.report({"score": float(x * step)}, step)
        trial.save({"step": step, "weights": "w" * 200_000}, step)

def fill(trial):
    with open(trial.dir.root.parent.parent / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

def freeze(trial):
    disk = str(trial.dir.root.parent.parent)
    # a filesystem with files open for writing cannot become read-only; a second mount over it can
    subprocess.run(["mount", "--bind", disk, disk], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", disk], check=True)

def limit(trial):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""


def search(folder: Path, fate: str | None = None) -> subprocess.CompletedProcess[str]:
    own = environment() | ({"HPO_TEST_FATE": fate} if fate else {})
    return subprocess.run(
        command(*SEARCH, f"experiment_dir={folder / 'experiments'}"),
        cwd=folder,
        env=own,
        capture_output=True,
        text=True,
        timeout=60,
    )


class Ended:
    """A search that has ended, in whose place it is put back whatever has been done to it."""

    def __init__(self, folder: Path, fate: str | None = None) -> None:
        make_project(folder)
        self.done = search(folder, fate)
        self._paths = the_paths(folder)
        self._kept = folder / "kept"
        shutil.copytree(self._paths.root, self._kept)

    def put_back(self) -> ExperimentPaths:
        shutil.rmtree(self._paths.root)
        shutil.copytree(self._kept, self._paths.root)
        return self._paths


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The search that finds room."""
    ended = Ended(tmp_path_factory.mktemp("complete"))
    assert ended.done.returncode == 0, ended.done.stdout + ended.done.stderr
    return ended


@pytest.fixture
def whole(complete: Ended) -> ExperimentPaths:
    """What that search has left, for each test again."""
    return complete.put_back()


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The search whose trial 1 may write no larger file."""
    ended = Ended(tmp_path_factory.mktemp("limited"), "limit")
    assert ended.done.returncode == 75, ended.done.stdout + ended.done.stderr
    return ended


def resumed(paths: ExperimentPaths) -> subprocess.CompletedProcess[str]:
    return python(paths.experiment_dir.parent, "hpo.resume", str(paths.root))


def make_project(folder: Path) -> None:
    (folder / "mypkg").mkdir()
    (folder / "mypkg" / "__init__.py").write_text(TASK)
    (folder / "pyproject.toml").write_text('[tool.hpo]\nallow_targets = ["mypkg.*"]\n')
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /preset/without_training\ntask:\n  _target_: mypkg.run\n"
        "optim_metrics:\n  score: max\ntotal_trials: 3\n"
    )


def the_experiment(folder: Path) -> ExperimentPaths:
    (root,) = (folder / "experiments").glob("experiment_*")
    return ExperimentPaths.of(root)


def assert_as_whole(whole: ExperimentPaths, paths: ExperimentPaths) -> None:
    columns = "number, trial_id, state, params, metrics"
    assert trials(paths, columns) == trials(whole, columns)
    assert results(paths) == results(whole)
    assert reports(paths) == reports(whole)
    one, other = study_of(paths), study_of(whole)
    assert [(t.number, t.state, t.values, t.intermediate_values) for t in one.trials] == [
        (t.number, t.state, t.values, t.intermediate_values) for t in other.trials
    ]
    assert not list(paths.root.rglob("*.tmp"))


@pytest.mark.parametrize("fate", ["fill", "freeze"])
def test_a_disk_that_takes_no_more_pauses_the_search_which_goes_on_when_it_does(
    tmp_path: Path, disk: Path, whole: ExperimentPaths, fate: str
) -> None:
    make_project(tmp_path)
    paused = search(tmp_path, fate)
    paths = the_experiment(tmp_path)

    assert paused.returncode == 75, paused.stdout + paused.stderr
    assert "Traceback" not in paused.stdout + paused.stderr
    assert f"hpo: cannot write {paths.root}" in paused.stderr
    assert "bytes are free" in paused.stderr
    assert f"continue it: python -m hpo.resume {paths.root}" in paused.stderr
    assert "trial 0002" not in paused.stdout
    assert not list(paths.root.rglob("*.tmp"))
    if fate == "freeze":
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    (disk / "filler").unlink(missing_ok=True)

    done = resumed(paths)

    assert done.returncode == 0, done.stdout + done.stderr
    assert_as_whole(whole, paths)


def test_a_trial_that_may_write_no_larger_file_waits_without_a_retry(
    limited: Ended, whole: ExperimentPaths
) -> None:
    paths = limited.put_back()
    ((state, attempt, reason),) = trials(paths, "state, attempt, reason")[1:]
    assert (state, attempt) == ("FAIL_RECOVERABLE", 1)
    assert f"cannot write {paths.root}" in str(reason)
    assert "File too large" in str(reason)
    assert "retry" not in limited.done.stdout

    done = resumed(paths)

    assert done.returncode == 0, done.stdout + done.stderr
    assert_as_whole(whole, paths)


def gone(path: Path) -> None:
    path.unlink()


def garbage(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def a_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(bytes(range(256)) * 16)


# one that is gone, and one that is no database: test_damage.py
@pytest.mark.parametrize("damage", [truncated, a_page])
def test_a_state_database_that_is_damaged_within_is_made_again(
    whole: ExperimentPaths, capfd: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    paths = whole
    columns = "number, trial_id, state, params, metrics, config, attempt, host, pid, device, is_feasible, reason"
    before = trials(paths, columns), reports(paths)
    damage(paths.state_db)
    status.main([str(paths.root)])
    told = capfd.readouterr().out

    done = resumed(paths)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (trials(paths, columns), reports(paths)) == before
    assert "WARNING: the state database was" in done.stdout
    assert list(paths.root.glob("*.damaged_1"))
    assert "3 COMPLETE" in told


@pytest.mark.parametrize("what", ["metadata", "checkpoint"])
def test_a_trial_whose_file_is_damaged_goes_on_from_what_is_whole(
    limited: Ended, whole: ExperimentPaths, what: str
) -> None:
    paths = limited.put_back()
    own = paths.trial(str(trials(paths, "trial_id")[1][0]))
    truncated(own.metadata if what == "metadata" else own.checkpoint(2))
    expected = 2 if what == "metadata" else 1 if own.checkpoint(1).exists() else 0

    done = resumed(paths)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        f"continues from iteration {expected}" if expected else "begins anew, without a checkpoint"
    ) in done.stdout
    assert ("is passed over" in own.log.read_text()) == (what == "checkpoint")
    assert_as_whole(whole, paths)


if sys.platform != "linux":
    pytest.skip("a disk that is full is made with Linux", allow_module_level=True)
