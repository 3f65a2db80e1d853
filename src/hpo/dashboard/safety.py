"""What stands in front of every page: who may ask, for what, and what a browser may do with the answer."""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import re
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from hpo.dashboard.asgi import HTML, JSON, App, Headers, Message, Receive, Scope, Send, answer, header

METHODS = ("GET", "HEAD")
ONLY_READS = "The dashboard only reads: it serves GET and HEAD, and nothing else."
OWN_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'"
)
# optuna-dashboard and TensorBoard: inline styles, pictures and workers that scripts make, and code from strings
# (WebGL, numeric.js); they come from here as well, and nothing leads elsewhere
MOUNTED_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline' data:; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; frame-src 'self'; "
    "object-src 'none'; form-action 'self'; frame-ancestors 'self'"
)
# what the page that asks for the token looks like: files of the package, the same for everybody
OPEN = ("/static/style.css", "/static/icon.svg")
MOUNTED = re.compile(r"/(optuna|tensorboard)(/|$)")
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"x-frame-options": b"SAMEORIGIN",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]@/?#\s]+)(:\d{1,5})?")


def protect(app: App, *, hosts: Collection[str], token: str | None) -> App:
    """`app` behind the checks: of the Host header against `hosts`, of the method, of the origin, of the token.

    Names in `hosts` are without a port and, for IPv6, without brackets. A token may be None on a loopback address
    alone, which is the caller's to see to. Its cookie ends with the browser, and names no dashboard but this one.
    """
    allowed = frozenset(name.lower() for name in hosts)
    lock = _Lock(token) if token is not None else None

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        send = _with_headers(scope, send)
        if not await _is_refused(scope, send, allowed, lock):
            await _served(app, scope, receive, send)

    return guarded


async def _is_refused(scope: Scope, send: Send, allowed: Collection[str], lock: _Lock | None) -> bool:
    """Whether the request ends here, with an answer that says why."""
    names = header(scope, b"host")
    if len(names) != 1 or (host := host_name(names[0])) is None:
        await answer(scope, send, 400, "The request names no host, or no proper one.")
    elif host not in allowed and host != (scope.get("server") or ("",))[0]:
        await answer(
            scope, send, 421, "This dashboard is not served under that name; --allow-host NAME would allow it."
        )
    elif scope["method"] not in METHODS:
        allow = [(b"allow", ", ".join(METHODS).encode())]
        await answer(scope, send, 405, json.dumps({"reason": ONLY_READS}), JSON, allow)
    elif _is_foreign(scope):
        await answer(scope, send, 403, "Another site asked for this, which only the dashboard's own pages may.")
    elif lock is not None and scope["path"] not in OPEN and not lock.is_open_to(scope):
        await lock.ask(scope, send)
    else:
        return False
    return True


async def _served(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    is_started = False

    async def noted(message: Message) -> None:
        nonlocal is_started
        is_started = True
        await send(message)

    try:
        await app(scope, receive, noted)
    except Exception:
        if not is_started:
            await answer(scope, send, 500, "The dashboard failed at this; its terminal says how.")
        raise


def host_name(value: str) -> str | None:
    """The name in a Host header, in lower case, without port and brackets; None where it is no such header."""
    found = _HOST.fullmatch(value)
    return found[1].strip("[]").lower() if found else None


def _is_foreign(scope: Scope) -> bool:
    """Whether a page of another origin asks, other than by a link that someone follows."""
    site = header(scope, b"sec-fetch-site")
    is_own = not site or site[-1] in ("same-origin", "none")
    return not is_own and header(scope, b"sec-fetch-mode")[-1:] != ["navigate"]


def _with_headers(scope: Scope, send: Send) -> Send:
    policy = MOUNTED_POLICY if MOUNTED.match(scope["path"]) else OWN_POLICY

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given: Headers = message.get("headers", [])
            kept = [(name, value) for name, value in given if name.lower() not in _HEADERS]
            if not any(name.lower() == b"cache-control" for name, _ in kept):
                kept.append((b"cache-control", b"no-store"))
            # a policy that the response brought holds besides
            message["headers"] = [*kept, (b"content-security-policy", policy.encode()), *_HEADERS.items()]
        await send(message)

    return sending


class _Lock:
    """The token, and the cookie that stands for it: derived, so that the cookie does not give the token away."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._value = self._derived("value")
        # a cookie goes to all ports of a host: each dashboard needs a name of its own
        self._name = f"hpo_dashboard_{self._derived('name')[:8]}"

    def _derived(self, purpose: str) -> str:
        return hmac.new(self._token, f"hpo.dashboard cookie {purpose}".encode(), hashlib.sha256).hexdigest()

    def is_open_to(self, scope: Scope) -> bool:
        """Whether the request has the cookie, and no token that has to leave the address."""
        if self._given(scope):
            return False
        values = [value for sent in header(scope, b"cookie") for value in _cookies(sent, self._name)]
        return any(hmac.compare_digest(value.encode(), self._value.encode()) for value in values)

    async def ask(self, scope: Scope, send: Send) -> None:
        """Take the token of the address and go on without it, or show the page that asks for it."""
        given = self._given(scope)
        is_right = len(given) == 1 and hmac.compare_digest(given[0].encode(), self._token)
        if not is_right:
            page = _page(
                scope, "That token is not this dashboard's." if given else "This dashboard needs its token."
            )
            await answer(scope, send, 403, page, HTML)
            return
        cookie = f"{self._name}={self._value}; HttpOnly; SameSite=Strict; Path=/"
        # a browser sends a strict cookie to its own pages alone: a link of another site is followed from here anew
        way = (
            b"refresh" if header(scope, b"sec-fetch-site")[-1:] in (["cross-site"], ["same-site"]) else b"location"
        )
        address = _without_token(scope)
        target = f"0; url={address}" if way == b"refresh" else address
        headers = [(b"set-cookie", cookie.encode()), (way, target.encode())]
        await answer(scope, send, 200 if way == b"refresh" else 303, "", HTML, headers)

    @staticmethod
    def _given(scope: Scope) -> list[str]:
        return [value for key, value in _query(scope) if key == "token"]


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="replace")


def _without_token(scope: Scope) -> str:
    """The same address without it. A path of two slashes would name a host."""
    rest = urlencode([(key, value) for key, value in _query(scope) if key != "token"])
    path = "/" + quote(scope["path"].lstrip("/\\"), safe="/:@!$&'()*+,;=~")
    return f"{path}?{rest}" if rest else path


def _cookies(sent: str, name: str) -> list[str]:
    try:
        return [morsel.value for key, morsel in SimpleCookie(sent).items() if key == name]
    except CookieError:
        return []


def _page(scope: Scope, told: str) -> str:
    """A page without script: a form that adds the token to the address."""
    kept = "".join(
        f'<input type="hidden" name="{html.escape(key)}" value="{html.escape(value)}">'
        for key, value in _query(scope)
        if key != "token"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>hpo dashboard</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="/static/icon.svg">'
        '<link rel="stylesheet" href="/static/style.css"><main class="token"><h1>hpo dashboard</h1>'
        f"<p>{html.escape(told)} The terminal that started it shows the whole address.</p>"
        f'<form method="get">{kept}<label>Token '
        '<input type="password" name="token" autocomplete="current-password" autofocus></label> '
        '<button class="primary">Open</button></form></main></html>'
    )
