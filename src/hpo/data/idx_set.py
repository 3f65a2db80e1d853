"""Data sets that come as MNIST's four files: images and labels to train on, and those of t10k."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpo.data.chunked import Chunked, converted
from hpo.data.idx import read_idx
from hpo.errors import DataError

TRAIN, T10K = "train", "t10k"
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_SIDE = 28
_NUM_CLASSES = 10
_WHITE = 255.0


@dataclass(frozen=True)
class IdxSet:
    """`folders` are where the files may lie below data_config.root; `sha256` is of the files that mirrors have."""

    source: str
    title: str
    folders: tuple[Path, ...]
    sha256: Mapping[str, str]

    def look(self, root: Path) -> tuple[Path, dict[str, Path]]:
        """The first of the folders with any of the four files, and these by name, in the order of FILES."""
        for folder in (root / below for below in self.folders):
            found = {name: path for name in FILES if (path := _file(folder, name)) is not None}
            if found:
                return folder, found
        return root, {}

    def read(self, files: list[Path]) -> dict[str, NDArray[np.uint8]]:
        """Images (N, 28, 28) and labels (N,) of both parts. Raises DataError for what they cannot be."""
        arrays: dict[str, NDArray[np.uint8]] = {}
        for part, (images_file, labels_file) in {TRAIN: files[:2], T10K: files[2:]}.items():
            images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
            self._check(images_file, images, labels_file, labels)
            arrays |= {f"{part}_images": images, f"{part}_labels": labels}
        return arrays

    def decoded(self, files: list[Path]) -> Mapping[str, Chunked]:
        """As trained on: float32 images (N, 1, 28, 28) from 0 to 1, as of torchvision's ToTensor; int64 labels."""
        arrays: dict[str, Chunked] = {}
        for key, array in self.read(files).items():
            if array.ndim == 1:
                arrays[key] = converted(array, np.int64, array.shape)
            else:
                arrays[key] = converted(array, np.float32, (len(array), 1, *array.shape[1:]), divisor=_WHITE)
        return arrays

    def _check(self, images_file: Path, images: NDArray[Any], labels_file: Path, labels: NDArray[Any]) -> None:
        if images.shape[1:] != (_SIDE, _SIDE):
            size = " x ".join(map(str, images.shape[1:]))
            raise DataError(
                f"{images_file} holds images of {size} pixels, but {self.title}'s are {_SIDE} x {_SIDE}"
            )
        if len(images) != len(labels):
            raise DataError(
                f"{labels_file} has {len(labels)} labels for the {len(images)} images of {images_file}"
            )
        if len(labels) == 0:
            raise DataError(f"{images_file} holds no images")
        if labels.max() >= _NUM_CLASSES:
            raise DataError(
                f"{labels_file} has a label {labels.max()}, but {self.title}'s are 0 to {_NUM_CLASSES - 1}"
            )


MNIST = IdxSet(
    "mnist",
    "MNIST",
    (Path(), Path("MNIST", "raw")),
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
FASHION_MNIST = IdxSet(
    "fashion_mnist",
    "Fashion-MNIST",
    (Path(), Path("raw"), Path("FashionMNIST", "raw")),
    {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)


def _file(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None
