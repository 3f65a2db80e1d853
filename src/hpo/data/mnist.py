"""MNIST and Fashion-MNIST from their files; scikit-learn's digits are a declared stand-in for the former."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hpo.data import digits
from hpo.data.digits import Digits
from hpo.data.hold_out import check_fraction
from hpo.data.idx_files import IdxFiles
from hpo.data.idx_set import FASHION_MNIST, MNIST
from hpo.data.images import split_images
from hpo.data.protocol import Splits
from hpo.errors import DataError
from hpo.records import DataSource

ERROR, DIGITS = "error", "digits"

# how much of the digits is held back where MNIST would hold back its t10k files
_DIGITS_FRACTION = 0.2
_SAY_WHERE = "Say where they lie with data_config.root=..."
_SAY_WHERE_OR_DIGITS = (
    f"{_SAY_WHERE}, or train on scikit-learn's digits instead with data_config.fallback={DIGITS}"
)


class Mnist:
    """MNIST's files under `root`. t10k validates, or, with a `val_fraction` of train for that, tests.

    Without the files they are downloaded from the `mirrors`, if `download` says so; `fallback` says what happens
    when that is not so, or none of the mirrors gives them: `error`, or `digits`.
    """

    def __init__(
        self,
        root: str,
        fallback: str = ERROR,
        val_fraction: float | None = None,
        seed: int = 0,
        download: bool = False,
        mirrors: Sequence[str] = (),
    ) -> None:
        if fallback not in (ERROR, DIGITS):
            raise DataError(f"data_config.fallback={fallback!r} is not known; allowed are {ERROR} and {DIGITS}")
        if val_fraction is not None:
            check_fraction("val_fraction", val_fraction)
        self._files = IdxFiles.of(MNIST, root, download, mirrors, _SAY_WHERE_OR_DIGITS)
        self._fallback = fallback
        self._val_fraction = val_fraction
        self._seed = seed

    def source(self) -> DataSource:
        """Finds the data, or downloads it, and reads it through once."""
        files, reasons = self._files.obtain()
        if files is not None:
            return _source(self._files, files, self._val_fraction)
        if self._fallback == ERROR:
            raise DataError(self._files.nothing_found(reasons))
        found = self._digits().source()
        return DataSource(found.name, found.digest, found.has_test, warning=self._warning(reasons))

    def preview(self) -> DataSource:
        """As `source`, but that nothing is downloaded."""
        return _preview(self._files, self._val_fraction) or self.source()

    def load(self, source: DataSource | None) -> Splits:
        source = source or self.source()
        if source.name == digits.SOURCE:
            return self._digits().load(source)
        return split_images(self._files.arrays(source.digest), self._val_fraction, self._seed)

    def _digits(self) -> Digits:
        """The stand-in, with the same parts."""
        if self._val_fraction is None:
            return Digits(val_fraction=_DIGITS_FRACTION, seed=self._seed)
        return Digits(self._val_fraction, test_fraction=_DIGITS_FRACTION, seed=self._seed)

    def _warning(self, reasons: Sequence[str]) -> str:
        and_no_mirror = " and no mirror gave them" if reasons else ""
        return (
            f"THIS IS NOT MNIST: there are no MNIST files in {self._files.root.absolute()}{and_no_mirror}, so "
            "that all trials use scikit-learn's digits (1797 images of 8x8 pixels, scaled to 28x28). The results "
            "do not compare with MNIST's. For MNIST say where its files lie: data_config.root=..."
        )


class FashionMnist:
    """Fashion-MNIST's files under `root`, as MNIST's in everything but that nothing stands in for them."""

    def __init__(
        self,
        root: str,
        val_fraction: float | None = None,
        seed: int = 0,
        download: bool = False,
        mirrors: Sequence[str] = (),
    ) -> None:
        if val_fraction is not None:
            check_fraction("val_fraction", val_fraction)
        self._files = IdxFiles.of(FASHION_MNIST, root, download, mirrors, _SAY_WHERE)
        self._val_fraction = val_fraction
        self._seed = seed

    def source(self) -> DataSource:
        """Finds the data, or downloads it, and reads it through once."""
        files, reasons = self._files.obtain()
        if files is None:
            raise DataError(self._files.nothing_found(reasons))
        return _source(self._files, files, self._val_fraction)

    def preview(self) -> DataSource:
        """As `source`, but that nothing is downloaded."""
        return _preview(self._files, self._val_fraction) or self.source()

    def load(self, source: DataSource | None) -> Splits:
        source = source or self.source()
        return split_images(self._files.arrays(source.digest), self._val_fraction, self._seed)


def _source(idx: IdxFiles, files: list[Path], val_fraction: float | None) -> DataSource:
    return DataSource(idx.kind.source, idx.checked_digest(files), has_test=val_fraction is not None)


def _preview(idx: IdxFiles, val_fraction: float | None) -> DataSource | None:
    """What a download would be tried for; None where there is nothing to download."""
    if not idx.download or idx.find() is not None:
        return None
    warning = f"{idx.kind.title} is not in {idx.root.absolute()} yet: its download will be tried first"
    return DataSource(idx.kind.source, "", has_test=val_fraction is not None, warning=warning)
