"""The four files of a data set on disk: found, downloaded, and read once for all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo.data.cache import is_cached, shared_arrays
from hpo.data.chunked import Arrays, Chunked
from hpo.data.digest import check_digest, digest_of, sha256_of
from hpo.data.download import Remote, download
from hpo.data.idx_set import FILES, IdxSet
from hpo.errors import DataError


@dataclass(frozen=True)
class IdxFiles:
    """Where the files of `kind` may lie, and whether and from where they may be downloaded.

    `advice` is what the error says that a user without them can do.
    """

    kind: IdxSet
    root: Path
    download: bool
    mirrors: tuple[str, ...]
    advice: str

    @classmethod
    def of(cls, kind: IdxSet, root: str, download: bool, mirrors: Sequence[str], advice: str) -> IdxFiles:
        """From what stands in data_config. Raises DataError for what it cannot mean."""
        if isinstance(mirrors, str) or not all(isinstance(mirror, str) for mirror in mirrors):
            raise DataError(f"data_config.mirrors={mirrors!r} must be a list of addresses, such as [https://...]")
        return cls(kind, Path(root).expanduser(), download, tuple(mirrors), advice)

    def find(self) -> list[Path] | None:
        """The four files in the order of FILES; None where there is none.

        Raises DataError for a part of them that a download may not complete.
        """
        folder, found = self.kind.look(self.root)
        if len(found) == len(FILES):
            return list(found.values())
        if found and not self._may_complete(found):
            raise DataError(self._only_a_part(folder, found))
        return None

    def obtain(self) -> tuple[list[Path] | None, tuple[str, ...]]:
        """The files, downloaded where that is allowed and they are not there; why that failed, where it did."""
        files = self.find()
        if files is not None or not self.download:
            return files, ()
        reasons = self._fetch()
        return self.find(), reasons

    def _fetch(self) -> tuple[str, ...]:
        """Download what is missing. Returns why it failed; nothing when all are there.

        Raises DataError when a part is there and stays one.
        """
        folder, found = self.kind.look(self.root)
        remotes = [Remote(name, sha256) for name, sha256 in self.kind.sha256.items()]
        reasons = download(remotes, folder if found else self.root, self.mirrors)
        if reasons and found:
            raise DataError(self._only_a_part(folder, found) + _mirrors_said(reasons))
        return reasons

    def checked_digest(self, files: list[Path]) -> str:
        """The files' digest, after they were read through once, so that a broken one shows early."""
        digest = digest_of(files)
        if not is_cached(self.kind.source, digest):
            self.kind.read(files)
        return digest

    def arrays(self, digest: str) -> Arrays:
        """What trials train on, of the files with that digest. Raises DataError when these are gone or others."""
        return shared_arrays(self.kind.source, digest, lambda: self._decoded(digest))

    def nothing_found(self, reasons: Sequence[str] = ()) -> str:
        below = " and ".join(map(str, self.kind.folders[1:]))
        said = (
            f"there are no {self.kind.title} files in {self.root.absolute()} (nor in {below} below it). "
            f"Expected, .gz or not: {', '.join(FILES)}."
        )
        hint = (
            "data_config.download=false tries no mirror" if reasons else "data_config.download=true fetches them"
        )
        return f"{said}{_mirrors_said(reasons)}\n{self.advice}; {hint}"

    def _decoded(self, digest: str) -> Mapping[str, Chunked]:
        files = self.find()
        if files is None:
            raise DataError(self.nothing_found())
        check_digest(files, digest)
        return self.kind.decoded(files)

    def _may_complete(self, found: Mapping[str, Path]) -> bool:
        """Whether what is there was downloaded: files of somebody's own are not mixed with a mirror's."""
        return self.download and all(self.kind.sha256.get(path.name) == sha256_of(path) for path in found.values())

    def _only_a_part(self, folder: Path, found: Mapping[str, Path]) -> str:
        missing = [name for name in FILES if name not in found]
        return (
            f"{folder.absolute()} holds only a part of {self.kind.title}: {', '.join(missing)} "
            f"(.gz or not) missing. All of these are needed: {', '.join(FILES)}"
        )


def _mirrors_said(reasons: Sequence[str]) -> str:
    return "".join(("\nNo mirror gave them:", *(f"\n  {reason}" for reason in reasons))) if reasons else ""
