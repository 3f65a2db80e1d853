"""The identity of data: a digest of the files that it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from hpo.errors import DataError


def digest_of(paths: Iterable[Path]) -> str:
    """SHA-256 over the files' contents, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        # each file's own digest, so that bytes moved from one file to the next do not go unseen
        digest.update(bytes.fromhex(sha256_of(path)))
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(paths: Sequence[Path], digest: str) -> None:
    """Raise DataError when the files are no longer those whose digest was fixed before the first trial."""
    found = digest_of(paths)
    if found != digest:
        raise DataError(
            f"{', '.join(map(str, paths))} changed since the experiment began: their SHA-256 is {found[:12]}..., "
            f"but it trains on {digest[:12]}... (data_digest)"
        )
