"""MNIST from its four standard files, with scikit-learn's digits as a declared stand-in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hpo.data import digits
from hpo.data.digest import digest_of
from hpo.data.digits import Digits
from hpo.data.hold_out import check_fraction, hold_out
from hpo.data.idx import read_idx
from hpo.data.images import image_dataset
from hpo.data.protocol import Splits
from hpo.errors import DataError
from hpo.records import DataSource

SOURCE = "mnist"
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
ERROR, DIGITS = "error", "digits"

_TORCHVISION = Path("MNIST", "raw")
_SIDE = 28
_NUM_CLASSES = 10  # the digits 0 to 9
_WHITE = 255.0
# how much of the digits is held back where MNIST would hold back its t10k files
_DIGITS_FRACTION = 0.2

Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Mnist:
    """Reads MNIST's files under `root`. t10k validates, or, with a `val_fraction` of train for that, tests.

    `fallback` says what happens when there is none of the four files: `error`, or `digits`.
    """

    def __init__(self, root: str, fallback: str = ERROR, val_fraction: float | None = None, seed: int = 0) -> None:
        if fallback not in (ERROR, DIGITS):
            raise DataError(f"data_config.fallback={fallback!r} is not known; allowed are {ERROR} and {DIGITS}")
        if val_fraction is not None:
            check_fraction("val_fraction", val_fraction)
        self._root = Path(root).expanduser()
        self._fallback = fallback
        self._val_fraction = val_fraction
        self._seed = seed

    def source(self) -> DataSource:
        """Finds the data and reads it through once, so that a broken file shows before the first trial."""
        files = self._find()
        if files is not None:
            _read(files)
            return DataSource(SOURCE, digest_of(files), has_test=self._val_fraction is not None)
        found = self._digits().source()
        return DataSource(found.name, found.digest, found.has_test, warning=self._warning())

    def load(self, source: str | None) -> Splits:
        if source == digits.SOURCE or (source is None and self._find() is None):
            return self._digits().load(digits.SOURCE)
        files = self._find()
        if files is None:
            raise DataError(self._nothing_found())
        (images, labels), held_back = _read(files)
        t10k = image_dataset(*held_back, _WHITE)
        if self._val_fraction is None:
            return Splits(train=image_dataset(images, labels, _WHITE), val=t10k)
        train, val = hold_out(len(labels), self._val_fraction, self._seed)
        return Splits(
            train=image_dataset(images[train], labels[train], _WHITE),
            val=image_dataset(images[val], labels[val], _WHITE),
            test=t10k,
        )

    def _find(self) -> list[Path] | None:
        """The four files in the order of FILES; None where there is none and digits may stand in.

        Raises DataError when only some are there, or none and there is no fallback.
        """
        for folder in (self._root, self._root / _TORCHVISION):
            found = [_file(folder, name) for name in FILES]
            files = [path for path in found if path is not None]
            if len(files) == len(FILES):
                return files
            if files:
                missing = [name for name, path in zip(FILES, found, strict=True) if path is None]
                raise DataError(
                    f"{folder.absolute()} holds only a part of MNIST: {', '.join(missing)} "
                    f"(.gz or not) missing. All of these are needed: {', '.join(FILES)}"
                )
        if self._fallback == DIGITS:
            return None
        raise DataError(self._nothing_found())

    def _digits(self) -> Digits:
        """The stand-in, with the same parts."""
        if self._val_fraction is None:
            return Digits(val_fraction=_DIGITS_FRACTION, seed=self._seed)
        return Digits(self._val_fraction, test_fraction=_DIGITS_FRACTION, seed=self._seed)

    def _nothing_found(self) -> str:
        return (
            f"there are no MNIST files in {self._root.absolute()} (nor in {_TORCHVISION} below it). "
            f"Expected, .gz or not: {', '.join(FILES)}.\n"
            "Say where they lie with data_config.root=..., or train on scikit-learn's digits instead with "
            f"data_config.fallback={DIGITS}"
        )

    def _warning(self) -> str:
        return (
            f"THIS IS NOT MNIST: there are no MNIST files in {self._root.absolute()}, so that all trials use "
            "scikit-learn's digits (1797 images of 8x8 pixels, scaled to 28x28). The results do not compare with "
            "MNIST's. For MNIST say where its files lie: data_config.root=..."
        )


def _file(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def _read(files: list[Path]) -> tuple[Part, Part]:
    """Images and labels of train and of t10k."""
    train_images, train_labels, t10k_images, t10k_labels = files
    return _read_part(train_images, train_labels), _read_part(t10k_images, t10k_labels)


def _read_part(images_file: Path, labels_file: Path) -> Part:
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if images.shape[1:] != (_SIDE, _SIDE):
        size = " x ".join(map(str, images.shape[1:]))
        raise DataError(f"{images_file} holds images of {size} pixels, but MNIST's are {_SIDE} x {_SIDE}")
    if len(images) != len(labels):
        raise DataError(f"{labels_file} has {len(labels)} labels for the {len(images)} images of {images_file}")
    if len(labels) == 0:
        raise DataError(f"{images_file} holds no images")
    if labels.max() >= _NUM_CLASSES:
        raise DataError(f"{labels_file} has a label {labels.max()}, but MNIST's are 0 to {_NUM_CLASSES - 1}")
    return images, labels
