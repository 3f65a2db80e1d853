"""The identity of data: a digest of the files that it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest_of(paths: Iterable[Path]) -> str:
    """SHA-256 over the files' contents, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            # each file's own digest, so that bytes moved from one file to the next do not go unseen
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
