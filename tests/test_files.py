from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from hpo.files import replace_file, sync_file, sync_folder


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_whole(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a.json"
    replace_file(path, b"one", durable=durable)
    with path.open("rb") as reader:
        replace_file(path, b"two", durable=durable)
        assert reader.read() == b"one"

    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_what_does_not_fit_on_the_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    replace_file(path, b"one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError):
            replace_file(path, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert path.read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_durable_file_is_on_the_disk_before_its_name_and_then_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real_replace, real_sync = os.replace, os.fsync

    def replace(source: Path, target: Path) -> None:
        seen.append("rename")
        real_replace(source, target)

    def sync(fd: int) -> None:
        seen.append("folder" if Path(f"/proc/self/fd/{fd}").resolve() == tmp_path.resolve() else "file")
        real_sync(fd)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "fsync", sync)

    replace_file(tmp_path / "a.json", b"one", durable=True)
    assert seen == ["file", "rename", "folder"]
    replace_file(tmp_path / "a.json", b"two")
    assert seen[3:] == ["rename"]


def test_what_is_not_there_needs_no_sync(tmp_path: Path) -> None:
    sync_file(tmp_path / "nothing")
    sync_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []
