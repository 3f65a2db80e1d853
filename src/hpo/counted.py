"""Numbers of things in words."""

from __future__ import annotations


def counted(num: int, thing: str) -> str:
    """`1 trial`, `0 trials`, `2 complete trials`."""
    return f"{num} {thing}" if num == 1 else f"{num} {thing}s"
