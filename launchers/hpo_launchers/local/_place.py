"""Where a trial runs; the trial's process knows no more of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """What a trial's environment says of it, and its cores (none: those of its scheduler)."""

    environment: Mapping[str, str]
    cores: tuple[int, ...] = ()
