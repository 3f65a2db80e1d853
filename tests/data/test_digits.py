from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from hpo.data.digits import Digits
from hpo.errors import DataError


def test_images_and_labels_are_scikit_learns():
    splits = Digits(val_fraction=0.2, seed=5).load(None)
    assert (len(splits.train), len(splits.val), splits.test) == (1438, 359, None)
    labels = torch.cat([splits.train.tensors[1], splits.val.tensors[1]])
    assert torch.equal(labels.bincount(), torch.from_numpy(np.bincount(load_digits().target)))
    images = torch.cat([splits.train.tensors[0], splits.val.tensors[0]])
    assert (images.dtype, images.shape) == (torch.float32, (1797, 1, 28, 28))


def test_scaling_is_torchs_bilinear_interpolation():
    images = torch.cat([part.tensors[0] for part in (lambda s: (s.train, s.val))(Digits().load(None))])
    raw = torch.from_numpy(load_digits().images / 16.0)[:, None]
    expected = torch.nn.functional.interpolate(raw, size=(28, 28), mode="bilinear").float()
    # the split reorders them: compare as sets of images, by a projection that no two share
    projection = torch.linspace(0, 1, 784, dtype=torch.float64)
    found = (images.double().flatten(1) @ projection).sort().values
    wanted = (expected.double().flatten(1) @ projection).sort().values
    assert torch.allclose(found, wanted, atol=1e-4)
    assert 0 <= images.min() <= images.max() <= 1


def test_the_seed_decides_the_split():
    first, same, other = (Digits(seed=seed).load(None).val.tensors[0] for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_test_part_is_held_back_when_asked_for():
    data = Digits(val_fraction=0.25, test_fraction=0.2)
    assert data.source().has_test
    splits = data.load(None)
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [1078, 360, 359]


def test_the_digest_is_that_of_the_file_alone():
    assert Digits(seed=1).source() == Digits(seed=2).source()
    assert len(Digits().source().digest) == 64


def test_a_fraction_outside_0_and_1_is_named():
    with pytest.raises(DataError, match=r"data_config\.val_fraction=0\.0"):
        Digits(val_fraction=0.0)
    with pytest.raises(DataError, match=r"data_config\.test_fraction=1\.5"):
        Digits(test_fraction=1.5)


def test_finding_the_source_imports_neither_torch_nor_scikit_learn():
    code = (
        "import sys; from hpo.data.digits import Digits; Digits().source(); "
        "assert not {'torch', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
