"""scikit-learn's handwritten digits, scaled to the size of MNIST's images."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpo.data.digest import digest_of
from hpo.data.hold_out import check_fraction, hold_out
from hpo.data.images import image_dataset
from hpo.data.protocol import Splits
from hpo.errors import DataError
from hpo.records import DataSource

SOURCE = "digits"

_SIDE, _SCALED_SIDE = 8, 28
_WHITE = 16.0


class Digits:
    """1797 images of 8x8 pixels, bilinearly scaled to 28x28; validation and test parts are drawn by `seed`."""

    def __init__(self, val_fraction: float = 0.2, test_fraction: float = 0.0, seed: int = 0) -> None:
        check_fraction("val_fraction", val_fraction)
        if test_fraction:
            check_fraction("test_fraction", test_fraction)
        self._val_fraction = val_fraction
        self._test_fraction = test_fraction
        self._seed = seed

    def source(self) -> DataSource:
        return DataSource(SOURCE, digest_of([_file()]), has_test=self._test_fraction > 0)

    def load(self, source: DataSource | None) -> Splits:
        """`val_fraction` is a share of what the test part leaves."""
        table = _table()
        images, labels = _scaled(table[:, :-1].reshape(-1, _SIDE, _SIDE)) / _WHITE, table[:, -1]
        train, test = np.arange(len(labels)), None
        if self._test_fraction:
            train, test = hold_out(len(labels), self._test_fraction, self._seed)
        kept, held = hold_out(len(train), self._val_fraction, self._seed)
        train, val = train[kept], train[held]
        return Splits(
            train=image_dataset(images[train], labels[train]),
            val=image_dataset(images[val], labels[val]),
            test=image_dataset(images[test], labels[test]) if test is not None else None,
        )


def _file() -> Path:
    """The file that scikit-learn bundles, found without importing it, which would take a second."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("the digits come with scikit-learn, which is not installed: pip install 'hpo[examples]'")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise DataError(f"this scikit-learn has no digits: {path} is missing; pip install 'hpo[examples]'")
    return path


def _table() -> NDArray[np.float64]:
    """A row per image: 64 pixels from 0 to 16 and the digit."""
    with gzip.open(_file(), "rt", encoding="ascii") as file:
        return np.loadtxt(file, delimiter=",")


def _scaled(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 8, 8) to (N, 28, 28), bilinear with pixel centres aligned and edges repeated."""
    centres = (np.arange(_SCALED_SIDE) + 0.5) * _SIDE / _SCALED_SIDE - 0.5
    distance = np.abs(np.clip(centres, 0, _SIDE - 1)[:, None] - np.arange(_SIDE))
    weights = np.clip(1 - distance, 0, None)
    scaled: NDArray[np.float64] = weights @ images @ weights.T
    return scaled
