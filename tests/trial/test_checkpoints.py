from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.errors import TrialError
from hpo.paths import TrialPaths
from hpo.trial import checkpoints
from hpo.trial.checkpoints import Checkpoints, iteration_of, loadable, publish

Save = Callable[..., None]


@pytest.fixture
def save(paths: TrialPaths) -> Save:
    def of(iteration: int, *, best: bool = False, keep_n: int = 2, before_rename: Any = lambda: None) -> None:
        state = {"model": {"w": torch.full((3,), float(iteration))}, "current_iteration": iteration}
        Checkpoints(paths, keep_n).save(state, iteration, best=best, before_rename=before_rename)

    return of


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_newest_are_kept_in_the_order_of_their_iterations(save: Save, paths: TrialPaths) -> None:
    for iteration in (8, 9, 10, 100):
        save(iteration)

    assert names(paths.checkpoints) == {"checkpoint_10.pt", "checkpoint_100.pt"}


def test_one_best_checkpoint_is_kept_however_many_there_were(save: Save, paths: TrialPaths) -> None:
    save(1, best=True)
    save(2)
    save(3, best=True)
    save(4)

    assert names(paths.best_checkpoints) == {"best_checkpoint_3.pt"}
    assert torch.load(paths.best_checkpoint(3))["current_iteration"] == 3


def test_the_best_outlives_its_twin_in_checkpoints(save: Save, paths: TrialPaths) -> None:
    save(1, best=True, keep_n=1)
    save(2, keep_n=1)

    assert names(paths.checkpoints) == {"checkpoint_2.pt"}
    assert torch.load(paths.best_checkpoint(1))["model"]["w"].tolist() == [1.0, 1.0, 1.0]


def test_the_best_is_copied_where_there_are_no_hard_links(
    save: Save, paths: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)

    save(1, best=True)

    assert torch.load(paths.best_checkpoint(1))["current_iteration"] == 1
    assert paths.best_checkpoint(1).stat().st_nlink == 1
    assert names(paths.best_checkpoints) == {"best_checkpoint_1.pt"}


def test_with_none_to_keep_only_the_best_stays(save: Save, paths: TrialPaths) -> None:
    save(1, best=True, keep_n=0)
    save(2, keep_n=0)

    assert names(paths.checkpoints) == set()
    restored = Checkpoints(paths, 0).restore()
    assert restored is not None
    assert restored["current_iteration"] == 1


def test_the_metadata_is_written_between_the_data_and_its_name(save: Save, paths: TrialPaths) -> None:
    seen: list[set[str]] = []

    save(1, best=True, before_rename=lambda: seen.append(names(paths.checkpoints) | names(paths.best_checkpoints)))

    assert len(seen) == 1
    assert not [name for name in seen[0] if name.endswith(".pt")]


def test_a_write_that_is_killed_leaves_no_checkpoint_and_the_last_one_is_restored(
    save: Save, paths: TrialPaths
) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    save(1)
    with pytest.raises(KeyboardInterrupt):
        save(2, best=True, before_rename=killed)

    restored = Checkpoints(paths, 2).restore()
    assert restored is not None
    assert restored["current_iteration"] == 1
    assert {name for name in names(paths.checkpoints) if name.endswith(".pt")} == {"checkpoint_1.pt"}
    save(2)
    assert names(paths.checkpoints) == {"checkpoint_1.pt", "checkpoint_2.pt"}, "the half file is written over"


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04half a file", None])
def test_a_damaged_newest_checkpoint_is_passed_over_and_said_so(
    save: Save, paths: TrialPaths, caplog: pytest.LogCaptureFixture, damage: bytes | None
) -> None:
    save(1)
    save(2)
    whole = paths.checkpoint(2).read_bytes()
    paths.checkpoint(2).write_bytes(whole[: len(whole) // 2] if damage is None else damage)

    restored = Checkpoints(paths, 2).restore()

    assert restored is not None
    assert restored["current_iteration"] == 1
    assert "checkpoint_2.pt cannot be read and is passed over" in caplog.text


def test_the_newest_is_restored_wherever_it_lies_and_nothing_is_none(save: Save, paths: TrialPaths) -> None:
    assert Checkpoints(paths, 2).restore() is None
    save(1)
    save(5, best=True)
    paths.checkpoint(5).unlink()

    restored = Checkpoints(paths, 2).restore()

    assert restored is not None
    assert restored["current_iteration"] == 5


def test_a_checkpoint_that_was_cut_anywhere_is_passed_over(save: Save, paths: TrialPaths) -> None:
    save(1)
    save(2)
    whole = paths.checkpoint(2).read_bytes()
    for num_bytes in range(0, len(whole), 37):
        paths.checkpoint(2).write_bytes(whole[:num_bytes])
        newest = Checkpoints(paths, 2).newest()
        assert newest is not None
        assert (newest.iteration, newest.state["current_iteration"]) == (1, 1), num_bytes


@pytest.mark.parametrize(
    "error",
    [OSError(5, "Input/output error"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_a_checkpoint_that_may_be_whole_is_not_passed_over(
    save: Save, paths: TrialPaths, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    save(1)
    monkeypatch.setattr(torch, "load", fail)

    with pytest.raises(type(error)):
        Checkpoints(paths, 2).newest()
    assert names(paths.checkpoints) == {"checkpoint_1.pt"}


def test_without_a_checkpoint_torch_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom hpo.paths import TrialPaths\n"
        "from hpo.trial.checkpoints import Checkpoints\n"
        f"assert Checkpoints(TrialPaths(Path({str(tmp_path)!r})), 2).newest() is None\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_lies_beyond_is_removed_and_what_a_crash_left_over_is_rotated(save: Save, paths: TrialPaths) -> None:
    save(2, best=True, keep_n=9)
    for iteration in (4, 6, 8, 10):
        save(iteration, keep_n=9)
    paths.best_checkpoint(4).hardlink_to(paths.checkpoint(4))
    paths.best_checkpoint(10).hardlink_to(paths.checkpoint(10))

    Checkpoints(paths, 2).cut_back(8, best_iteration=4)

    assert names(paths.checkpoints) == {"checkpoint_6.pt", "checkpoint_8.pt"}
    assert names(paths.best_checkpoints) == {"best_checkpoint_4.pt"}


def test_a_best_checkpoint_that_is_gone_is_made_again_from_the_one_of_its_iteration(
    save: Save, paths: TrialPaths
) -> None:
    save(4)
    save(6)

    Checkpoints(paths, 2).cut_back(6, best_iteration=4)

    assert names(paths.best_checkpoints) == {"best_checkpoint_4.pt"}
    assert paths.best_checkpoint(4).samefile(paths.checkpoint(4))


def test_a_checkpoint_that_was_only_published_gets_its_own_name(save: Save, paths: TrialPaths) -> None:
    save(4, best=True)
    paths.checkpoint(4).unlink()

    Checkpoints(paths, 1).cut_back(4, best_iteration=4)

    assert names(paths.checkpoints) == {"checkpoint_4.pt"}
    Checkpoints(paths, 0).cut_back(4, best_iteration=4)
    assert names(paths.checkpoints) == set()


def test_to_publish_again_what_is_published_leaves_no_other_file(save: Save, paths: TrialPaths) -> None:
    save(4, best=True)

    publish(paths.checkpoint(4), paths.best_checkpoint(4))

    assert names(paths.best_checkpoints) == {"best_checkpoint_4.pt"}


def test_an_old_checkpoint_is_removed_when_the_new_one_has_its_name_on_the_disk(
    save: Save, paths: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(1, best=True, keep_n=1)
    seen: list[tuple[str, set[str]]] = []
    monkeypatch.setattr(checkpoints, "sync_folder", lambda folder: seen.append((folder.name, names(folder))))

    save(2, best=True, keep_n=1)

    assert seen == [
        ("best_checkpoints", {"best_checkpoint_1.pt", "best_checkpoint_2.pt"}),
        ("checkpoints", {"checkpoint_1.pt", "checkpoint_2.pt"}),
    ]


def test_the_iteration_is_the_number_in_the_name() -> None:
    assert iteration_of(TrialPaths(Path("/9_x")).checkpoint(120)) == 120
    assert iteration_of(TrialPaths(Path("/9_x")).best_checkpoint(7)) == 7
    assert iteration_of(Path("other.pt")) == -1


class Colour(Enum):
    red = 1


def test_what_numpy_and_the_standard_library_have_becomes_plain(paths: TrialPaths) -> None:
    state = {
        "weights": np.arange(3.0),
        "score": np.float64(0.5),
        "count": np.int64(7),
        "colour": Colour.red,
        "path": Path("a") / "b",
        "shape": (1, np.int32(2)),
        np.str_("key"): [np.bool_(True), None],
    }
    Checkpoints(paths, 1).save(state, 1, best=False, before_rename=lambda: None)

    restored = Checkpoints(paths, 1).restore()
    assert restored is not None
    assert torch.equal(restored.pop("weights"), torch.arange(3.0, dtype=torch.float64))
    assert restored == {
        **{"score": 0.5, "count": 7, "colour": "red", "path": "a/b", "shape": (1, 2)},
        "key": [True, None],
    }


def test_a_state_dict_keeps_what_it_has_beside_its_tensors() -> None:
    state = torch.nn.BatchNorm1d(2).state_dict()
    assert loadable({"model": state})["model"] is state


@pytest.mark.parametrize("value", [{1, 2}, object(), np.array(["a"])], ids=["a set", "an object", "strings"])
def test_what_cannot_be_loaded_again_is_refused_by_its_key(paths: TrialPaths, value: Any) -> None:
    with pytest.raises(TrialError, match=r"a checkpoint holds .*, but state\['a'\]\[1\] is a "):
        Checkpoints(paths, 1).save({"a": [0, value]}, 1, best=False, before_rename=lambda: None)
    assert names(paths.checkpoints) == set()
