from __future__ import annotations

import gzip
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hpo.data.idx_set import FILES
from hpo.data.mnist import FashionMnist, Mnist
from hpo.errors import DataError
from hpo.records import DataSource
from tests.data.mirror import serving

REAL = Path(__file__).parents[3] / "shared/data/mnist10k"
GONE = DataSource("mnist", 64 * "0")
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="no real MNIST files beside the repository")


@pytest.mark.parametrize("compressed", [True, False])
def test_t10k_validates_by_default(write_mnist, tmp_path, compressed):
    data = Mnist(str(write_mnist(tmp_path, compressed=compressed)))
    source = data.source()
    assert (source.name, source.has_test, source.warning) == ("mnist", False, None)
    splits = data.load(source)
    assert splits.test is None
    assert (len(splits.train), len(splits.val)) == (60, 20)
    images, labels = splits.train.tensors
    assert (images.dtype, images.shape) == (torch.float32, (60, 1, 28, 28))
    assert (labels.dtype, labels.shape) == (torch.int64, (60,))
    assert images.min() == 0
    assert images.max() == 1
    assert labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_the_files_may_lie_where_torchvision_puts_them(write_mnist, tmp_path):
    write_mnist(tmp_path / "MNIST/raw")
    assert Mnist(str(tmp_path)).source().name == "mnist"


def test_a_val_fraction_of_train_makes_t10k_the_test_data(write_mnist, tmp_path):
    root = str(write_mnist(tmp_path))
    data = Mnist(root, val_fraction=0.1, seed=1)
    assert data.source().has_test
    splits = data.load(data.source())
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [54, 6, 20]
    again = Mnist(root, val_fraction=0.1, seed=1).load(None)
    other = Mnist(root, val_fraction=0.1, seed=2).load(None)
    assert torch.equal(splits.val[:][0], again.val[:][0])
    assert not torch.equal(splits.val[:][0], other.val[:][0])
    assert splits.train.dataset is splits.val.dataset


def test_the_digest_follows_the_contents_of_the_files(write_mnist, tmp_path):
    first, second = write_mnist(tmp_path / "a"), write_mnist(tmp_path / "b")
    assert Mnist(str(first)).source().digest == Mnist(str(second)).source().digest
    path = second / f"{FILES[1]}.gz"
    labels = bytearray(gzip.decompress(path.read_bytes()))
    labels[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(labels)))
    assert Mnist(str(first)).source().digest != Mnist(str(second)).source().digest


def test_without_files_the_error_says_what_was_looked_for_where_and_what_to_do(tmp_path):
    for ask in (Mnist(str(tmp_path)).source, lambda: Mnist(str(tmp_path)).load(GONE)):
        with pytest.raises(DataError) as raised:
            ask()
        message = str(raised.value)
        assert all(name in message for name in FILES)
        assert str(tmp_path) in message
        assert "data_config.root=" in message
        assert "data_config.fallback=digits" in message


@pytest.mark.parametrize("fallback", ["error", "digits"])
def test_a_part_of_the_files_is_an_error_whatever_the_fallback(write_mnist, tmp_path, fallback):
    root = write_mnist(tmp_path)
    (root / f"{FILES[2]}.gz").unlink()
    with pytest.raises(DataError, match=rf"only a part of MNIST: {FILES[2]} \(\.gz or not\) missing"):
        Mnist(str(root), fallback=fallback).source()


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_is_an_error_before_the_first_trial(write_mnist, tmp_path, name):
    root = write_mnist(tmp_path, compressed=False)
    (root / name).write_bytes((root / name).read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{name} holds .* but its header says"):
        Mnist(str(root), fallback="digits").source()


def test_labels_that_do_not_match_their_images_are_an_error(write_mnist, tmp_path):
    root = write_mnist(tmp_path)
    shutil.copy(root / f"{FILES[3]}.gz", root / f"{FILES[1]}.gz")
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz has 20 labels for the 60 images of"):
        Mnist(str(root)).source()


def test_a_label_above_nine_is_an_error(write_mnist, tmp_path):
    root = write_mnist(tmp_path, compressed=False)
    data = bytearray((root / FILES[1]).read_bytes())
    data[-1] = 10
    (root / FILES[1]).write_bytes(data)
    with pytest.raises(DataError, match="has a label 10"):
        Mnist(str(root)).source()


def test_digits_stand_in_when_that_is_declared_and_the_source_says_so_loudly(tmp_path):
    data = Mnist(str(tmp_path), fallback="digits")
    source = data.source()
    assert (source.name, source.has_test) == ("digits", False)
    assert "THIS IS NOT MNIST" in source.warning
    assert "scikit-learn's digits" in source.warning
    assert str(tmp_path) in source.warning
    for found in (source, None):
        splits = data.load(found)
        assert splits.train.tensors[0].shape[1:] == (1, 28, 28)
        assert len(splits.train) + len(splits.val) == 1797


def test_digits_hold_a_test_part_back_where_mnist_would(tmp_path):
    data = Mnist(str(tmp_path), fallback="digits", val_fraction=0.1)
    assert data.source().has_test
    splits = data.load(data.source())
    assert len(splits.test) == 359
    assert len(splits.train) + len(splits.val) + len(splits.test) == 1797


def test_a_source_that_was_fixed_does_not_change_when_files_appear_or_vanish(write_mnist, tmp_path):
    data = Mnist(str(tmp_path), fallback="digits")
    with pytest.raises(DataError, match="there are no MNIST files"):
        data.load(GONE)
    found = data.source()
    write_mnist(tmp_path)
    assert len(data.load(found).train) > 1000
    assert len(data.load(None).train) == 60


def test_without_scikit_learn_the_stand_in_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'hpo\[examples\]'"):
        Mnist(str(tmp_path), fallback="digits").source()


MIRRORS = ("http://127.0.0.1:1/a", "http://127.0.0.1:1/b")  # nobody listens there


def test_without_files_and_mirrors_the_error_names_each_with_its_reason_and_what_to_do(tmp_path):
    root = tmp_path / "data"
    for kind in (Mnist, FashionMnist):
        with pytest.raises(DataError) as raised:
            kind(str(root), download=True, mirrors=MIRRORS).source()
        message = str(raised.value)
        for mirror in MIRRORS:
            assert f"{mirror}/{FILES[0]}.gz: Connection refused" in message
        assert str(root) in message
        assert "data_config.root=" in message
        assert "data_config.download=false" in message
    assert not root.exists()


def test_digits_stand_in_where_no_mirror_answers(tmp_path):
    source = Mnist(str(tmp_path), fallback="digits", download=True, mirrors=MIRRORS).source()
    assert source.name == "digits"
    assert "THIS IS NOT MNIST" in source.warning
    assert "no mirror gave them" in source.warning


def test_a_dry_run_downloads_nothing_and_says_that_the_run_would(tmp_path, write_mnist):
    with serving({}) as mirror:
        for kind, name in ((Mnist, "mnist"), (FashionMnist, "fashion_mnist")):
            root = tmp_path / name
            data = kind(str(root), download=True, mirrors=[mirror.url("good")])
            source = data.preview()
            assert source.name == name
            assert f"not in {root} yet: its download will be tried first" in source.warning
            write_mnist(root)
            assert data.preview() == data.source()
        assert mirror.requests == []


@pytest.mark.parametrize("mirrors", ["https://one.example", [1]])
def test_mirrors_are_a_list_of_addresses(mirrors):
    with pytest.raises(DataError, match=r"data_config\.mirrors=.* must be a list of addresses"):
        Mnist("data", mirrors=mirrors)


def test_fashion_mnist_is_read_as_mnist_is(write_mnist, tmp_path):
    data = FashionMnist(str(write_mnist(tmp_path / "raw").parent), val_fraction=0.5, seed=3)
    source = data.source()
    assert (source.name, source.has_test) == ("fashion_mnist", True)
    splits = data.load(source)
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [30, 30, 20]
    image, label = splits.train[0]
    assert (image.shape, image.dtype, label.dtype) == ((1, 28, 28), torch.float32, torch.int64)


def test_an_unknown_fallback_names_those_there_are():
    with pytest.raises(DataError, match="fallback='download' is not known; allowed are error and digits"):
        Mnist("data", fallback="download")


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_val_fraction_lies_between_0_and_1(fraction):
    with pytest.raises(DataError, match=f"val_fraction={fraction}"):
        Mnist("data", val_fraction=fraction)


def test_finding_the_source_imports_neither_torch_nor_scikit_learn(write_mnist, tmp_path):
    write_mnist(tmp_path / "files")
    code = (
        "import sys; from hpo.data.mnist import Mnist; "
        f"Mnist({str(tmp_path / 'files')!r}).source(); Mnist({str(tmp_path)!r}, fallback='digits').source(); "
        "assert not {'torch', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_real
def test_real_mnist_is_read():
    splits = Mnist(str(REAL)).load(None)
    assert (len(splits.train), len(splits.val)) == (8000, 2000)
    assert splits.train.tensors[1][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # of all 70,000 images the mean is 0.1307
    assert splits.train.tensors[0].mean() == pytest.approx(0.1307, abs=0.01)
