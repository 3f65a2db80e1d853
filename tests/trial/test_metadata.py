from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpo.paths import TrialPaths
from hpo.trial.metadata import Metadata, replace_text, seconds, timestamp


def test_an_update_keeps_what_was_there_and_is_on_disk_at_once(paths: TrialPaths) -> None:
    metadata = Metadata.of(paths)

    metadata.update(log_iteration=5, path=Path("/x"))

    on_disk = json.loads(paths.metadata.read_text())
    assert (on_disk["number"], on_disk["log_iteration"], on_disk["path"]) == (3, 5, "/x")
    assert Metadata.of(paths)["log_iteration"] == 5
    assert Metadata.of(paths).get("nothing") is None


def test_a_directory_without_metadata_has_none(tmp_path: Path) -> None:
    assert Metadata.of(TrialPaths(tmp_path)).get("number") is None


def test_a_write_that_fails_leaves_the_old_file_whole(paths: TrialPaths) -> None:
    before = paths.metadata.read_text()

    with pytest.raises(UnicodeEncodeError):
        replace_text(paths.metadata, "half \ud800 of it")

    assert paths.metadata.read_text() == before


def test_a_reader_never_sees_a_part_of_a_file(tmp_path: Path) -> None:
    target = tmp_path / "a"
    replace_text(target, "one")
    with target.open() as reader:
        replace_text(target, "two")
        assert reader.read() == "one"

    assert target.read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_times_are_utc_and_come_back() -> None:
    assert timestamp(1_700_000_000.25) == "2023-11-14T22:13:20.250+00:00"
    assert seconds(timestamp(1_700_000_000.25)) == 1_700_000_000.25


def test_progress_that_follows_closely_reaches_the_disk_with_the_next_update(paths: TrialPaths) -> None:
    metadata = Metadata.of(paths)
    metadata.update(log_iteration=1)

    for iteration in range(2, 50):
        metadata.progress(log_iteration=iteration)
    metadata.update(checkpoint_iteration=49)

    assert metadata["log_iteration"] == 49
    assert Metadata.of(paths)["log_iteration"] == 49


def test_progress_that_comes_alone_is_on_disk_at_once(paths: TrialPaths) -> None:
    metadata = Metadata.of(paths)

    metadata.progress(log_iteration=7)

    assert Metadata.of(paths)["log_iteration"] == 7


def test_what_is_forgotten_is_gone_with_the_next_update(paths: TrialPaths) -> None:
    metadata = Metadata.of(paths)
    metadata.update(outcome={"state": "WAITING"})

    metadata.forget("outcome", "nothing")
    metadata.update_durably(attempt=2)

    assert "outcome" not in json.loads(paths.metadata.read_text())
    assert Metadata.of(paths)["attempt"] == 2
    assert paths.temporary == []
