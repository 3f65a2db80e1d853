"""The one place where a typed value becomes a Hydra override."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hydra.core.override_parser.types import Quote, QuotedString

from hpo.records import Value

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*|/[A-Za-z0-9_./-]+")
_RESERVED = frozenset(("null", "true", "false", "nan", "inf"))


def encode_value(value: Value) -> str:
    """`value` as Hydra's grammar reads it back, with its type: 1 and "1", null and "null" stay apart."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    return QuotedString(value, Quote.single).with_quotes()


def encode(params: Mapping[str, Value]) -> tuple[str, ...]:
    """`key=value` for each parameter."""
    return tuple(f"{key}={encode_value(value)}" for key, value in params.items())
