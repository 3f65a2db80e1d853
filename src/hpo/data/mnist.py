"""MNIST from its four standard files, with scikit-learn's digits as a declared stand-in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hpo.data import digits
from hpo.data.cache import is_cached, shared_arrays
from hpo.data.chunked import Chunked
from hpo.data.digest import check_digest, digest_of
from hpo.data.digits import Digits
from hpo.data.hold_out import check_fraction
from hpo.data.idx_set import FILES, IdxSet
from hpo.data.images import split_images
from hpo.data.protocol import Splits
from hpo.errors import DataError
from hpo.records import DataSource

MNIST = IdxSet("mnist", "MNIST", (Path(), Path("MNIST", "raw")))
ERROR, DIGITS = "error", "digits"

# how much of the digits is held back where MNIST would hold back its t10k files
_DIGITS_FRACTION = 0.2


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
        files = MNIST.find(self._root)
        if files is not None:
            digest = digest_of(files)
            if not is_cached(MNIST.source, digest):
                MNIST.read(files)
            return DataSource(MNIST.source, digest, has_test=self._val_fraction is not None)
        if self._fallback == ERROR:
            raise DataError(self._nothing_found())
        found = self._digits().source()
        return DataSource(found.name, found.digest, found.has_test, warning=self._warning())

    def load(self, source: DataSource | None) -> Splits:
        source = source or self.source()
        if source.name == digits.SOURCE:
            return self._digits().load(source)
        arrays = shared_arrays(MNIST.source, source.digest, lambda: self._decoded(source.digest))
        return split_images(arrays, self._val_fraction, self._seed)

    def _decoded(self, digest: str) -> Mapping[str, Chunked]:
        files = MNIST.find(self._root)
        if files is None:
            raise DataError(self._nothing_found())
        check_digest(files, digest)
        return MNIST.decoded(files)

    def _digits(self) -> Digits:
        """The stand-in, with the same parts."""
        if self._val_fraction is None:
            return Digits(val_fraction=_DIGITS_FRACTION, seed=self._seed)
        return Digits(self._val_fraction, test_fraction=_DIGITS_FRACTION, seed=self._seed)

    def _nothing_found(self) -> str:
        return (
            f"there are no MNIST files in {self._root.absolute()} (nor in {MNIST.folders[-1]} below it). "
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
