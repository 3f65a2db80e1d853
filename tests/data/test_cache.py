from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest

from hpo.cache_folder import cache_folder
from hpo.data.cache import is_cached, shared_arrays
from hpo.data.chunked import Chunked, converted
from hpo.errors import DataError
from tests.conftest import REPOSITORY

DIGEST = "ab" * 32
DAY_S = 24 * 60 * 60
VALUES = np.arange(12, dtype=np.uint8).reshape(6, 2)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HPO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def build() -> Mapping[str, Chunked]:
    return {
        "values": converted(VALUES, np.float32, VALUES.shape, divisor=4),
        "labels": converted(VALUES[:, 0], np.int64, (6,)),
    }


def not_again() -> Mapping[str, Chunked]:
    raise AssertionError("built again")


def entry(root: Path) -> Path:
    (path,) = (path for path in root.iterdir() if path.is_dir())
    return path


def test_the_arrays_are_those_that_were_built_and_are_built_once(root: Path) -> None:
    assert not is_cached("x", DIGEST)
    for how in (build, not_again):
        arrays = shared_arrays("x", DIGEST, how)
        assert np.array_equal(arrays["values"], VALUES.astype(np.float32) / 4)
        assert (arrays["values"].dtype, arrays["labels"].dtype) == (np.float32, np.int64)
        assert arrays["labels"].tolist() == [0, 2, 4, 6, 8, 10]
    assert is_cached("x", DIGEST)


def test_another_name_or_digest_is_another_entry(root: Path) -> None:
    for name, digest in (("x", DIGEST), ("y", DIGEST), ("x", "cd" * 32)):
        shared_arrays(name, digest, build)
    assert len([path for path in root.iterdir() if path.is_dir()]) == 3


def test_what_a_process_writes_it_alone_sees() -> None:
    shared_arrays("x", DIGEST, build)["values"][:] = -1
    assert shared_arrays("x", DIGEST, not_again)["values"].min() == 0


def test_pieces_put_together_are_the_whole() -> None:
    big = np.random.default_rng(0).integers(0, 256, (3000, 28, 28), dtype=np.uint8)
    pieces = converted(big, np.float32, (3000, 1, 28, 28), divisor=255.0)
    sizes = [len(chunk) for chunk in converted(big, np.float32, (3000, 1, 28, 28), divisor=255.0).chunks]
    assert len(sizes) > 2
    expected = big.astype(np.float32)[:, None]
    expected /= 255.0
    assert np.array_equal(pieces.whole(), expected)


@pytest.mark.parametrize("name", ["values.npy", "labels.npy", "manifest.json"])
@pytest.mark.parametrize("harm", [b"", b"\x93NUMPY", None])
def test_a_damaged_entry_is_made_again(root: Path, name: str, harm: bytes | None) -> None:
    shared_arrays("x", DIGEST, build)
    path = entry(root) / name
    if harm is None:
        path.unlink()
    else:
        path.write_bytes(harm)
    assert np.array_equal(shared_arrays("x", DIGEST, build)["labels"], VALUES[:, 0])
    shared_arrays("x", DIGEST, not_again)


def test_an_array_that_was_cut_short_is_made_again(root: Path) -> None:
    shared_arrays("x", DIGEST, build)
    path = entry(root) / "values.npy"
    path.write_bytes(path.read_bytes()[:-1])
    assert len(shared_arrays("x", DIGEST, build)["values"]) == 6
    shared_arrays("x", DIGEST, not_again)


def test_what_a_process_left_that_died_while_building_is_removed(root: Path) -> None:
    shared_arrays("x", DIGEST, build)
    left = root / f".unfinished-{entry(root).name}-abc"
    entry(root).rename(left)
    shared_arrays("x", DIGEST, build)
    assert not left.exists()


def test_an_error_in_the_data_leaves_nothing_behind(root: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield VALUES.astype(np.float32)
        raise DataError("row 7 is no row")

    with pytest.raises(DataError, match="row 7"):
        shared_arrays("x", DIGEST, lambda: {"values": Chunked((12, 2), np.dtype(np.float32), broken())})
    assert [path for path in root.iterdir() if path.is_dir()] == []


def test_where_no_cache_can_be_the_arrays_are_in_memory_and_one_warning_says_so(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root.write_text("a file in the way")
    with caplog.at_level(logging.INFO, logger="hpo.data"):
        arrays = shared_arrays("x", DIGEST, build)
    assert np.array_equal(arrays["values"], VALUES.astype(np.float32) / 4)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(root) in record.getMessage()


def test_a_full_disk_is_no_failure(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process whose files may have 64 bytes is told so in the same way as on a full disk: write() fails."""
    code = (
        "import resource, signal, numpy as np\n"
        "from hpo.data.cache import shared_arrays\n"
        "from hpo.data.chunked import converted\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
        "ones = np.ones(10000, np.uint8)\n"
        f"arrays = shared_arrays('x', {DIGEST!r}, lambda: {{'ones': converted(ones, np.float32, (10000,))}})\n"
        "print(arrays['ones'].sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "10000.0\n"
    assert os.strerror(errno.EFBIG) in done.stderr
    assert [path for path in root.iterdir() if path.is_dir()] == []


def test_entries_that_nobody_used_for_a_month_go_when_a_new_one_is_written(root: Path) -> None:
    for name in ("old", "used", "young"):
        shared_arrays(name, DIGEST, build)
    folders = {path.name.split("-")[0]: path for path in root.iterdir() if path.is_dir()}
    now = time.time()
    for name, age_days in {"old": 31, "used": 31, "young": 29}.items():
        os.utime(folders[name], (now, now - age_days * DAY_S))
    (root / "notes").mkdir()
    os.utime(root / "notes", (0, 0))

    shared_arrays("used", DIGEST, not_again)
    shared_arrays("new", DIGEST, build)

    assert {path.name.split("-")[0] for path in root.iterdir() if path.is_dir()} == {
        *("used", "young", "new"),
        "notes",  # not ours
    }


def test_the_place_is_the_users_cache_folder_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPO_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/hpo")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("~/.cache/hpo").expanduser()


def test_without_a_home_it_is_no_failure_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_CACHE_DIR", "~nobody-of-that-name/cache")
    assert not is_cached("x", DIGEST)
    assert len(shared_arrays("x", DIGEST, build)["values"]) == 6


HOLD = """
import sys, numpy as np
from hpo.data.cache import shared_arrays
from hpo.data.chunked import converted

def build():
    print("built", file=sys.stderr)
    return {"ones": converted(np.ones((8 << 20,), np.uint8), np.float32, (8 << 20,))}

ones = shared_arrays("x", "00" * 32, build)["ones"]
assert ones.sum() == 8 << 20
print("loaded", flush=True)
sys.stdin.read()
"""


def test_processes_that_need_it_at_once_build_once_and_share_its_pages() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "loaded\n"
        mapped_mib = sum(
            region.pss / (1 << 20)
            for process in processes
            for region in psutil.Process(process.pid).memory_maps()
            if region.path.endswith("ones.npy")
        )
    finally:
        told = [process.communicate() for process in processes]
    assert sum(errors.count("built") for _, errors in told) == 1, told
    assert mapped_mib == pytest.approx(32, abs=1)  # the array once, not four times
