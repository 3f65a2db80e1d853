"""What a column of the state database holds, read without SQLAlchemy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def json_of(text: str | None) -> dict[str, Any]:
    """A mapping that is kept as JSON; an empty one where there is none."""
    return dict(json.loads(text)) if text is not None else {}


def time_of(text: str | None) -> datetime | None:
    """A time, which is in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text is not None else None
