"""Trials' files at a URL, for nodes that share no filesystem with the scheduler."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.e2e.conftest import Run, command, environment
from tests.e2e.test_resume import wait_for, wait_until
from tests.launchers import tasks, waiting_searches
from tests.launchers.applications import opened
from tests.launchers.ray.object_store import BUCKET, running_object_store
from tests.launchers.ray.test_ray_searches import node
from tests.launchers.waiting_searches import CODE, assert_whole, go_on
from tests.projects import make_project

pytest.importorskip("ray")

from hpo_launchers.ray import _storage as storage

# in a namespace of the scheduler's own the folder is another one, and what it holds is kept when it ends
_HIDE = 'mount -t tmpfs tmpfs "$0" && "$@"; status=$?; cp -r "$0"/. "$0.kept"; exit $status'


@pytest.fixture(scope="module")
def object_store() -> Iterator[dict[str, str]]:
    for name in ("moto", "s3fs"):
        pytest.importorskip(name)
    with running_object_store() as found:
        yield found


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """That of a storage in which nothing is."""
    if request.param == "file":
        return f"file://{tmp_path / 'kept'}"
    for name, value in request.getfixturevalue("object_store").items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    directory = tmp_path / "here" / "experiment_a" / "0000_aaaa"
    (directory / "checkpoints").mkdir(parents=True)
    (directory / "dashboard").mkdir()
    (directory / "checkpoints" / "checkpoint_1.pt").write_bytes(b"one")
    (directory / "results.json").write_text("[1]")
    return directory


def content(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(directory).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_a_directory_is_elsewhere_what_it_was_and_stays_so(tmp_path: Path, trial: Path, url: str) -> None:
    before = content(trial)
    here = storage.TrialStorage(url)
    here.push(trial)
    # another machine, on which nothing is at that path
    stale = trial.rename(tmp_path / "as_it_was")
    elsewhere = storage.TrialStorage(url)

    elsewhere.pull(trial)

    assert content(trial) == before
    assert (trial / "dashboard").is_dir()
    # what it makes of them comes back: replaced, appended, and gone
    (trial / "checkpoints" / "checkpoint_1.pt").unlink()
    (trial / "checkpoints" / "checkpoint_2.pt").write_bytes(b"two")
    (trial / "results.json").write_text("[1, 2]")
    after = content(trial)
    (trial / "checkpoints" / ".checkpoint_3.pt.tmp").write_bytes(b"half")
    elsewhere.push(trial)
    shutil.rmtree(trial)
    stale.rename(trial)
    here.pull(trial)
    assert content(trial) == after


def test_of_what_nobody_has_kept_nothing_is_brought(tmp_path: Path, url: str) -> None:
    directory = tmp_path / "experiment_a" / "0000_aaaa"

    storage.TrialStorage(url).pull(directory)

    assert not directory.exists()


def test_experiments_of_one_name_in_two_places_lie_apart(tmp_path: Path, trial: Path, url: str) -> None:
    kept = storage.TrialStorage(url)
    kept.push(trial)
    before = content(trial)
    other = tmp_path / "there" / trial.parent.name / trial.name
    other.mkdir(parents=True)
    (other / "results.json").write_text("[9]")

    kept.push(other)

    shutil.rmtree(trial)
    storage.TrialStorage(url).pull(trial)
    assert content(trial) == before


def test_what_a_lost_node_had_half_sent_is_not_taken_for_whole(
    trial: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = storage.TrialStorage(url)
    lost.push(trial)
    before = content(trial)
    (trial / "checkpoints" / "checkpoint_2.pt").write_bytes(b"two")
    put = lost._put

    def dies(file: Path, target: str) -> None:
        put(file, target)
        raise ConnectionError("lost")

    monkeypatch.setattr(lost, "_put", dies)
    with pytest.raises(ConnectionError):
        lost.push(trial)

    shutil.rmtree(trial)
    storage.TrialStorage(url).pull(trial)

    assert content(trial) == before


@pytest.mark.parametrize("cut", ["put_file", "pipe_file"])
def test_what_a_lost_node_was_writing_stays_what_it_was(
    tmp_path: Path, trial: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    url = f"file://{tmp_path / 'kept'}"
    lost = storage.TrialStorage(url)
    lost.push(trial)
    (trial / "results.json").write_text("[1, 2]")

    def dies(source: Any, target: Any) -> None:
        Path(source if cut == "pipe_file" else target).write_bytes(b"[")
        raise ConnectionError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(lost._fs, cut, dies)
        with pytest.raises(ConnectionError):
            lost.push(trial)

    shutil.rmtree(trial)
    storage.TrialStorage(url).pull(trial)

    whole = "[1]" if cut == "put_file" else "[1, 2]"
    assert (trial / "results.json").read_text() == whole
    assert not [path for path in (tmp_path / "kept").rglob(".*") if path.is_file()]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nosuch://bucket", "storage=nosuch://bucket cannot be used: .*It takes a URL of fsspec, such as s3://"),
        ("some/folder", "storage=some/folder is a folder of wherever a process is: give a URL of fsspec"),
        ("file:///proc/not/here", "storage=file:///proc/not/here cannot be used: "),
    ],
)
def test_a_storage_that_cannot_be_used_is_an_error_before_anything_starts(
    tmp_path: Path, url: str, said: str
) -> None:
    from hpo.errors import ConfigError

    with (
        pytest.raises(ConfigError, match=said),
        opened("ray", tasks.return_number, tmp_path, f"hydra.launcher.storage='{url}'"),
    ):
        pass


@pytest.mark.parametrize("url", ["s3"], indirect=True)
def test_a_bucket_that_does_not_exist_is_an_error_and_is_not_made(url: str) -> None:
    from hpo.errors import ConfigError

    missing = url.replace(BUCKET, "misspelt", 1)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"misspelt/.* cannot be used: .*bucket"):
            storage.check_storage(missing)


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """A folder of which the scheduler alone sees what it writes into it."""
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True)
    if os.geteuid() != 0 or probe.returncode:
        pytest.skip("no right to hide a folder")
    folder = tmp_path / "experiments"
    folder.mkdir()
    (tmp_path / "experiments.kept").mkdir()
    return folder


@pytest.mark.slow
def test_a_trial_goes_on_elsewhere_from_what_is_kept_where_nothing_is_shared(
    tmp_path: Path, hidden: Path, cluster: Any, url: str
) -> None:
    make_project(tmp_path, CODE.replace('trial.report({"score": x + step}, step)', _SAVING))
    search = command(
        *(*waiting_searches.SEARCH, "hydra/launcher=ray", f"hydra.launcher.address={cluster.address}"),
        *("+hydra.launcher.resources={far:1}", f"hydra.launcher.storage={url}"),
        *("hydra.launcher.storage_sync_s=0.1", "total_trials=1", "max_retries=1", f"experiment_dir={hidden}"),
    )
    words = ["unshare", "--mount", "sh", "-c", _HIDE, str(hidden), *search]
    files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    with (
        node(cluster, far=1) as first,
        subprocess.Popen(
            words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        try:
            wait_for(process, " 1 running")
            wait_until(process, lambda: files.glob(f"{root}/*/*/checkpoints/*_2.pt"))
            cluster.remove_node(first, allow_graceful=False)
            wait_for(process, "FAIL_RECOVERABLE")
            # the disk of the node is lost too
            for directory in hidden.iterdir():
                shutil.rmtree(directory)
            with node(cluster, far=1):
                assert "(attempt 2)" in wait_for(process, "(attempt 2)")
                go_on(tmp_path)
                said = process.communicate(timeout=120)[0]
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0, said

    run = Run(process.returncode, said, "", tmp_path / "experiments.kept")
    assert_whole(run.paths, num_attempts=2)
    ((trial_id,),) = run.trials("trial_id")
    of_trial = run.paths.trial(trial_id)
    assert json.loads(of_trial.metadata.read_text())["outcome"]["state"] == "COMPLETE"
    assert "from iteration 2" in of_trial.log.read_text() or len(list(of_trial.checkpoints.glob("*.pt"))) == 1


_SAVING = """trial.report({"score": x + step}, step)
        trial.save({"step": step}, step)"""
