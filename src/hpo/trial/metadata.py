"""metadata.json: what produced a trial and how far it has come."""

from __future__ import annotations

import json
import math
import time
from collections.abc import ItemsView
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpo.files import replace_file
from hpo.paths import TrialPaths

_PROGRESS_S = 0.2


class Metadata:
    """The contents of metadata.json; every `update` replaces the file whole."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self._path = path
        self._values = values
        self._written = -math.inf

    @classmethod
    def of(cls, trial: TrialPaths) -> Metadata:
        """What the scheduler or an earlier attempt left in the trial's directory; nothing of what is damaged."""
        try:
            values = json.loads(trial.metadata.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            values = {}
        return cls(trial.metadata, values if isinstance(values, dict) else {})

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def items(self) -> ItemsView[str, Any]:
        return self._values.items()

    def get(self, key: str, default: Any = None) -> Any:
        return self._values.get(key, default)

    def progress(self, **values: Any) -> None:
        """Like `update`, but on disk with a later one where the last is less than a fifth of a second ago."""
        if time.monotonic() - self._written > _PROGRESS_S:
            self.update(**values)
        else:
            self._values.update(values)

    def update(self, **values: Any) -> None:
        self._write(values, durable=False)

    def update_durably(self, **values: Any) -> None:
        """Like `update`, and on the disk itself when it returns."""
        self._write(values, durable=True)

    def forget(self, *keys: str) -> None:
        """Leave these out from the next update on."""
        for key in keys:
            self._values.pop(key, None)

    def _write(self, values: dict[str, Any], *, durable: bool) -> None:
        self._values.update(values)
        self._written = time.monotonic()
        replace_text(self._path, json.dumps(self._values, indent=2, default=str) + "\n", durable=durable)


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def seconds(text: str) -> float:
    """The inverse of `timestamp`."""
    return datetime.fromisoformat(text).timestamp()


def replace_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace a file whole: a reader sees the old text or the new one, never a part."""
    replace_file(path, text.encode("utf-8"), durable=durable)
