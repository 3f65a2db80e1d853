from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from omegaconf import DictConfig
from sqlalchemy.exc import OperationalError

from hpo.errors import ExperimentError
from hpo.experiment import directory, identity
from hpo.experiment.directory import check_new, new_directory
from hpo.records import Ended, State, TrialSpec
from tests.conftest import new_experiment

Make = Callable[..., DictConfig]


def test_a_new_directory_is_made_with_what_lies_above_it(quadratic: Make, tmp_path: Path) -> None:
    with new_directory(quadratic(experiment_dir=str(tmp_path / "a" / "b"), experiment_id="mine")) as paths:
        pass

    assert paths.root == tmp_path / "a" / "b" / "experiment_mine"
    assert paths.root.is_dir()


def test_two_experiments_of_one_configuration_have_two_directories(quadratic: Make) -> None:
    with new_directory(quadratic()) as one, new_directory(quadratic()) as other:
        assert one.root != other.root


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("no"), SystemExit(3)])
def test_nothing_is_left_when_the_block_that_fills_it_fails(
    quadratic: Make, tmp_path: Path, failure: BaseException
) -> None:
    def fill() -> None:
        with new_directory(quadratic()) as paths:
            paths.config.write_text("half")
            raise failure

    with pytest.raises(type(failure)):
        fill()

    assert list((tmp_path / "experiments").iterdir()) == []


def test_a_full_disk_and_a_database_that_cannot_be_written_are_errors_that_name_the_place(quadratic: Make) -> None:
    for failure in (
        OSError(28, "No space left on device"),
        OperationalError("INSERT", {}, Exception("database or disk is full")),
    ):
        with (
            pytest.raises(ExperimentError, match="experiment_dir=") as caught,
            new_directory(quadratic()) as paths,
        ):
            raise failure
        assert str(paths.root) in str(caught.value)
        assert "No space left on device" in str(caught.value) or "disk is full" in str(caught.value)


def test_a_file_in_the_way_is_an_error_and_stays_as_it_is(quadratic: Make, tmp_path: Path) -> None:
    (tmp_path / "experiments").write_text("mine")

    with pytest.raises(ExperimentError, match=r"cannot write the experiment into .*: File exists"):
        new_experiment(quadratic())
    with pytest.raises(ExperimentError, match=r"Not a directory\.\nChoose another place with experiment_dir="):
        new_experiment(quadratic(experiment_dir=str(tmp_path / "experiments" / "below")))

    assert (tmp_path / "experiments").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root")
def test_a_directory_without_permission_is_an_error(quadratic: Make, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)

    with pytest.raises(ExperimentError, match="Permission denied"):
        new_experiment(quadratic(experiment_dir=str(tmp_path / "locked")))

    assert list((tmp_path / "locked").iterdir()) == []


@pytest.fixture
def tiny_disk() -> Iterator[Path]:
    """A filesystem of 32 KiB, where there is a right to mount one; not in tmp_path, which pytest must remove."""
    disk = Path(tempfile.mkdtemp())
    command = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        disk.rmdir()
        pytest.skip("no right to mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
    disk.rmdir()


def test_a_disk_that_is_nearly_full_is_refused_with_what_is_free(quadratic: Make, tiny_disk: Path) -> None:
    with pytest.raises(ExperimentError, match=r"0\.0 MiB are free there, and its databases alone may need 16"):
        new_experiment(quadratic(experiment_dir=str(tiny_disk / "a" / "b")))

    assert list(tiny_disk.iterdir()) == []


def test_a_disk_that_is_full_leaves_nothing_half_made(
    quadratic: Make, tiny_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_MIN_FREE_MIB", 0)
    with pytest.raises(ExperimentError, match=r"cannot write the experiment into .*(full|No space|I/O)"):
        new_experiment(quadratic(experiment_dir=str(tiny_disk)))

    assert list(tiny_disk.iterdir()) == []


def test_an_id_that_is_taken_says_how_far_that_experiment_got_and_touches_nothing(
    quadratic: Make, tmp_path: Path
) -> None:
    experiment = new_experiment(quadratic(experiment_id="mine", verbose="silent"))
    for number in range(4):
        experiment.prepare(TrialSpec(number, params={"task.x": float(number)}))
    experiment.record(Ended(0, State.COMPLETE, {"loss": 1.0}))
    experiment.record(Ended(1, State.FAIL, reason="no"))
    experiment.record(Ended(2, State.PRUNED_POOR_PERFORMANCE))
    before = contents(tmp_path)

    for attempt in (new_experiment, check_new):
        with pytest.raises(ExperimentError) as caught:
            attempt(quadratic(experiment_id="mine"))
        assert "experiment_id=mine is taken" in str(caught.value)
        assert "4 trials, 3 finished, 1 complete" in str(caught.value)

    assert contents(tmp_path) == before
    experiment.close(State.WAITING)


@pytest.mark.parametrize(("database", "said"), [(None, "it has no state database"), ("junk", "cannot be read")])
def test_a_taken_directory_that_is_no_experiment_is_not_touched_either(
    quadratic: Make, tmp_path: Path, database: str | None, said: str
) -> None:
    root = tmp_path / "experiments" / "experiment_mine"
    root.mkdir(parents=True)
    (root / "precious.txt").write_text("keep")
    if database:
        (root / "mine_state.db").write_text(database * 1000)
    before = contents(tmp_path)

    with pytest.raises(ExperimentError, match=said):
        new_experiment(quadratic(experiment_id="mine"))

    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[Path, bytes]:
    # a reader of a database in WAL mode may make and remove its -shm file
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".db-shm"}


def test_an_id_that_is_drawn_is_none_that_a_servers_database_has(
    quadratic: Make, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr(identity.secrets, "token_hex", lambda _: next(digits))
    first = new_experiment(quadratic(state_db=database))

    second = new_experiment(
        quadratic(state_db=database, experiment_dir=str(first.paths.experiment_dir.parent / "elsewhere"))
    )

    assert first.paths.experiment_id.endswith("_aaaa")
    assert second.paths.experiment_id.endswith("_bbbb")
    for each in (first, second):
        each.close(State.FAIL)
