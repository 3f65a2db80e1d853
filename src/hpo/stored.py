"""Reads databases without SQLAlchemy, and what a column of them holds."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


SAMPLERS = "samplers"
"""The study's user attribute that names, in their order, what proposed its trials."""


def reading(path: Path, timeout_s: float = 5.0) -> sqlite3.Connection:
    """A connection that cannot write, and so never makes a writer wait."""
    # nobody has it open: nothing but the file is read, and no file is left beside it
    alone = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{alone}", uri=True, timeout=timeout_s)


def json_of(text: str | None) -> dict[str, Any]:
    """A mapping that is kept as JSON; an empty one where there is none."""
    return dict(json.loads(text)) if text is not None else {}


def time_of(text: str | None) -> datetime | None:
    """A time, which is in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text is not None else None
