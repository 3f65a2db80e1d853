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
    """`folders` are where the files may lie below data_config.root."""

    source: str
    title: str
    folders: tuple[Path, ...]

    def find(self, root: Path) -> list[Path] | None:
        """The four files in the order of FILES, None where there is none. Raises DataError for some of them."""
        for folder in (root / below for below in self.folders):
            found = [_file(folder, name) for name in FILES]
            files = [path for path in found if path is not None]
            if len(files) == len(FILES):
                return files
            if files:
                missing = [name for name, path in zip(FILES, found, strict=True) if path is None]
                raise DataError(
                    f"{folder.absolute()} holds only a part of {self.title}: {', '.join(missing)} "
                    f"(.gz or not) missing. All of these are needed: {', '.join(FILES)}"
                )
        return None

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


def _file(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None
