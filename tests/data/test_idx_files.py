from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hpo.data.idx import read_idx
from hpo.data.idx_files import IdxFiles
from hpo.data.idx_set import FASHION_MNIST, FILES, MNIST, IdxSet
from hpo.errors import DataError
from tests.data.conftest import NUM_T10K, NUM_TRAIN, write_idx_files
from tests.data.mirror import Mirror, serving

NAMES = [f"{name}.gz" for name in FILES]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def served(tmp_path: Path) -> dict[str, bytes]:
    folder = write_idx_files(tmp_path / "served")
    return {name: (folder / name).read_bytes() for name in NAMES}


@pytest.fixture
def mirror(served: dict[str, bytes]) -> Iterator[Mirror]:
    with serving(served) as mirror:
        yield mirror


@pytest.fixture
def kind(served: dict[str, bytes]) -> IdxSet:
    sha256 = {name: hashlib.sha256(data).hexdigest() for name, data in served.items()}
    return IdxSet("small", "Small", (Path(), Path("raw")), sha256)


def files(kind: IdxSet, root: Path, *mirrors: str) -> IdxFiles:
    return IdxFiles.of(kind, str(root), bool(mirrors), mirrors, "Look for them")


def test_without_the_files_they_are_downloaded_into_root(kind: IdxSet, mirror: Mirror, tmp_path: Path) -> None:
    found, reasons = files(kind, tmp_path / "data", mirror.url("cut"), mirror.url("good")).obtain()
    assert found == [tmp_path / "data" / name for name in NAMES]
    assert reasons == ()


def test_files_that_are_there_are_used_whatever_their_checksum(mirror: Mirror, tmp_path: Path) -> None:
    write_idx_files(tmp_path / "raw", compressed=False)
    for kind in (FASHION_MNIST, IdxSet("small", "Small", (Path("raw"),), {})):
        found, _ = files(kind, tmp_path, mirror.url("good")).obtain()
        assert found == [tmp_path / "raw" / name for name in FILES]
    assert mirror.requests == []


def test_a_download_that_broke_off_is_completed(kind: IdxSet, mirror: Mirror, tmp_path: Path) -> None:
    root = write_idx_files(tmp_path / "raw")
    (root / NAMES[2]).unlink()
    found, _ = files(kind, tmp_path, mirror.url("good")).obtain()
    assert found == [root / name for name in NAMES]
    assert mirror.requests == [f"/good/{NAMES[2]}"]


def test_somebodys_own_files_are_not_completed_from_a_mirror(kind: IdxSet, mirror: Mirror, tmp_path: Path) -> None:
    root = write_idx_files(tmp_path / "own")
    (root / NAMES[0]).unlink()
    (root / NAMES[1]).write_bytes(b"my own")
    with pytest.raises(DataError, match="only a part of Small: train-images-idx3-ubyte"):
        files(kind, root, mirror.url("good")).obtain()
    assert mirror.requests == []


def test_a_part_that_no_mirror_completes_is_an_error_with_their_reasons(
    kind: IdxSet, mirror: Mirror, tmp_path: Path
) -> None:
    root = write_idx_files(tmp_path / "data")
    (root / NAMES[3]).unlink()
    with pytest.raises(DataError) as raised:
        files(kind, root, mirror.url("missing")).obtain()
    assert "only a part of Small" in str(raised.value)
    assert f"{mirror.url('missing')}/{NAMES[3]}: HTTP 404 Not Found" in str(raised.value)


def test_what_is_trained_on_is_the_files_pixels_divided_by_white(kind: IdxSet, tmp_path: Path) -> None:
    idx = files(kind, write_idx_files(tmp_path / "data"))
    found = idx.find()
    assert found is not None
    arrays = idx.arrays(idx.checked_digest(found))
    expected = read_idx(found[0], 3).astype(np.float32)
    expected /= 255.0
    assert np.array_equal(arrays["train_images"], expected[:, None])
    assert np.array_equal(arrays["t10k_labels"], read_idx(found[3], 1))
    assert (len(arrays["train_images"]), len(arrays["t10k_images"])) == (NUM_TRAIN, NUM_T10K)
    assert (arrays["train_images"].dtype, arrays["train_labels"].dtype) == (np.float32, np.int64)


def test_what_was_decoded_once_takes_no_files_any_more(kind: IdxSet, tmp_path: Path) -> None:
    idx = files(kind, write_idx_files(tmp_path / "data"))
    digest = idx.checked_digest(idx.find() or [])
    idx.arrays(digest)
    for name in NAMES:
        (tmp_path / "data" / name).unlink()
    assert len(idx.arrays(digest)["train_images"]) == NUM_TRAIN


def test_files_that_changed_since_the_source_was_fixed_are_an_error(kind: IdxSet, tmp_path: Path) -> None:
    idx = files(kind, write_idx_files(tmp_path / "data"))
    digest = idx.checked_digest(idx.find() or [])
    path = tmp_path / "data" / NAMES[1]
    path.write_bytes(path.read_bytes() + bytes(1))
    with pytest.raises(DataError, match=r"changed since the experiment began: their SHA-256 is"):
        idx.arrays(digest)


def test_the_known_checksums_are_of_the_files_that_are_read() -> None:
    for kind in (MNIST, FASHION_MNIST):
        assert list(kind.sha256) == NAMES
        assert {len(value) for value in kind.sha256.values()} == {64}
    assert not set(MNIST.sha256.values()) & set(FASHION_MNIST.sha256.values())


@pytest.mark.skipif("HPO_TEST_NETWORK" not in os.environ, reason="HPO_TEST_NETWORK is not set")
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_each_shipped_mirror_gives_the_files_of_the_known_checksums(name: str, tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    from tests.conftest import REPOSITORY

    node = OmegaConf.load(REPOSITORY / "conf/data_config" / f"{name}.yaml")
    kind = {"mnist": MNIST, "fashion_mnist": FASHION_MNIST}[name]
    for number, address in enumerate(node.mirrors):
        found, reasons = files(kind, tmp_path / str(number), address).obtain()
        assert found is not None, reasons
