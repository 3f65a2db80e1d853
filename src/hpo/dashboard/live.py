"""Answers that cost next to nothing as long as nothing has changed.

Pages follow their experiment by asking for themselves again, with the tag of what they show: a look at the times
of the files tells whether it still holds (304). There is no stream of events, since the files would have to be
asked all the same, a browser keeps only six connections to one server, and a page in the background need not ask.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hpo.dashboard.store import Stamp

# pages of an earlier start may come from other templates
_START = secrets.token_hex(8)


def answer(request: Request, stamp: Stamp, make: Callable[[], Response]) -> Response:
    """What `make` returns, or 304 where the browser has it already."""
    tag = f'"{hashlib.sha256(repr((_START, stamp)).encode()).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    response = make()
    if response.status_code == 200:
        response.headers.update(headers)
    return response


def as_json(values: Any, status_code: int = 200) -> Response:
    """JSON of numbers that every reader knows: those that are not finite become null."""
    text = json.dumps(_finite(values), allow_nan=False, separators=(",", ":"))
    return Response(text, status_code, media_type="application/json")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
