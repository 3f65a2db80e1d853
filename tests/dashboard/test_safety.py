"""Who may ask, for what, and what a browser may do with the answer: over real connections."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator

import pytest

from hpo.dashboard import safety
from hpo.dashboard.asgi import Receive, Scope, Send, answer
from hpo.dashboard.safety import host_name, protect
from tests.dashboard.serving import Answer, ask, served

TOKEN = "a-secret-&-more"
TOKEN_QUOTED = "a-secret-%26-more"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """The address that was asked for; two of them fail."""
    if scope["type"] != "http":
        return
    if scope["path"] == "/fails":
        raise RuntimeError("secret detail")
    await answer(scope, send, 200, f"{scope['path']}?{scope['query_string'].decode()}")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(protect(echo, hosts={"127.0.0.1", "localhost", "::1", "box.example"}, token=None)) as number:
        yield number


@pytest.fixture(scope="module")
def locked() -> Iterator[int]:
    with served(protect(echo, hosts={"127.0.0.1"}, token=TOKEN)) as number:
        yield number


def cookie_of(given: Answer) -> str:
    return given.headers["set-cookie"].partition(";")[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "LOCALHOST", "[::1]:8080", "box.example:9"])
def test_a_name_that_is_allowed_is_served(port: int, host: str) -> None:
    assert ask(port, host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.",
        "localhost.evil.example",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
    ],
)
def test_a_foreign_name_is_misdirected(port: int, host: str) -> None:
    refused = ask(port, host=host)

    assert refused.status == 421
    assert "--allow-host" in refused.text


@pytest.mark.parametrize(
    "host", ["", "a b", "user@localhost", "localhost/", "localhost:80:80", "localhost:x", "[::1", "localhost,evil"]
)
def test_what_is_no_name_is_refused(port: int, host: str) -> None:
    assert ask(port, host=host).status in (400, 421)


def test_a_request_without_a_host_or_with_two_is_refused(port: int) -> None:
    assert ask(port, host=None).status == 400
    assert ask(port, headers=("Host: evil.example",)).status == 400
    assert ask(port, headers=("X-Forwarded-Host: evil.example",)).status == 200


def test_a_target_that_names_another_host_does_not_get_around_the_check(port: int) -> None:
    assert ask(port, "http://127.0.0.1/", host="evil.example").status in (400, 421)


@pytest.mark.parametrize("value", ["localhost:8080", "[::1]:1", "A.b"])
def test_the_name_is_taken_without_port_and_brackets(value: str) -> None:
    assert host_name(value) in ("localhost", "::1", "a.b")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "X"])
def test_nothing_but_get_and_head_is_served(port: int, method: str) -> None:
    refused = ask(port, "/anything", method=method, headers=("X-HTTP-Method-Override: GET",))

    assert refused.status == 405
    assert refused.headers["allow"] == "GET, HEAD"


def test_a_head_has_the_headers_alone(port: int) -> None:
    headers = ask(port, method="HEAD")

    assert (headers.status, headers.body) == (200, b"")
    assert ask(port, "/", method="HEAD", host="evil.example").body == b""


def test_every_answer_says_what_a_browser_may_do(port: int, locked: int) -> None:
    answers = [
        ask(port),
        ask(port, host="evil.example"),
        ask(port, method="POST"),
        ask(port, "/fails"),
        ask(locked),
        ask(locked, f"/?token={TOKEN_QUOTED}"),
    ]

    assert [each.status for each in answers] == [200, 421, 405, 500, 403, 303]
    for each in answers:
        policy = each.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert each.headers["x-content-type-options"] == "nosniff"
        assert each.headers["referrer-policy"] == "no-referrer"
        assert each.headers["x-frame-options"] == "SAMEORIGIN"
        assert each.headers["cross-origin-opener-policy"] == "same-origin"
        assert each.headers["cross-origin-resource-policy"] == "same-origin"
        assert each.headers["cache-control"] == "no-store"
        assert "server" not in each.headers


def test_only_the_mounted_tools_may_use_inline_code_and_nobody_a_foreign_source(port: int) -> None:
    for path in ("/optuna", "/optuna/x/", "/tensorboard/x/data"):
        policy = ask(port, path).headers["content-security-policy"]
        assert "'unsafe-eval'" in policy
        assert not re.search(r"\*|https?:|//|\bws", policy)
    for path in ("/optunas", "/x/optuna/", "//optuna/", "/OPTUNA/"):
        assert "unsafe" not in ask(port, path).headers["content-security-policy"]


def test_a_failure_does_not_show_what_failed(port: int) -> None:
    failed = ask(port, "/fails")

    assert failed.status == 500
    assert "secret detail" not in failed.text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_may_link_to_the_dashboard_and_nothing_more(port: int, site: str) -> None:
    of_another = f"Sec-Fetch-Site: {site}"

    assert ask(port, headers=(of_another, "Sec-Fetch-Mode: no-cors")).status == 403
    assert ask(port, headers=(of_another, "Sec-Fetch-Mode: cors")).status == 403
    assert ask(port, headers=(of_another,)).status == 403
    assert ask(port, headers=(of_another, "Sec-Fetch-Mode: navigate")).status == 200
    assert ask(port, headers=("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors")).status == 200


def test_without_the_token_a_page_asks_for_it(locked: int) -> None:
    asked = ask(locked, "/trial?a=1&b=%22%3E%3Cscript%3E")

    assert asked.status == 403
    assert '<form method="get">' in asked.text
    assert 'name="a" value="1"' in asked.text
    assert "<script" not in asked.text
    assert TOKEN not in asked.text
    assert "set-cookie" not in asked.headers


def test_the_page_that_asks_for_the_token_has_the_style_sheet_and_nothing_else_is_open(locked: int) -> None:
    asked = ask(locked, "/")

    assert '<link rel="stylesheet" href="/static/style.css">' in asked.text
    assert ask(locked, "/static/style.css").status == 200
    for path in ("/static/main.js", "/static/style.css/../main.js", "/static/style.css/", "/x/static/style.css"):
        assert ask(locked, path).status == 403, path


def test_the_token_leaves_the_address_and_a_strict_cookie_stays(locked: int) -> None:
    opened = ask(locked, f"/trial/1?sort=value&token={TOKEN_QUOTED}&sort=b%26")

    assert opened.status == 303
    assert opened.headers["location"] == "/trial/1?sort=value&sort=b%26"
    cookie = opened.headers["set-cookie"]
    assert {part.strip() for part in cookie.split(";")[1:]} == {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert "secret" not in cookie
    followed = ask(locked, opened.headers["location"], headers=(f"Cookie: x=1; {cookie_of(opened)}",))
    assert (followed.status, followed.text) == (200, "/trial/1?sort=value&sort=b%26")


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "///evil.example", "/%2f/evil.example"])
def test_the_way_back_never_leads_to_another_host(locked: int, path: str) -> None:
    location = ask(locked, f"{path}?token={TOKEN_QUOTED}").headers["location"]

    assert re.match(r"/(?![/\\])", location)


def test_a_header_cannot_be_smuggled_into_the_way_back(locked: int) -> None:
    opened = ask(locked, f"/a%0d%0aSet-Cookie:%20b=c?x=%0d%0ay&token={TOKEN_QUOTED}")

    assert opened.headers["location"] == "/a%0D%0ASet-Cookie:%20b=c?x=%0D%0Ay"
    assert len([name for name, _ in opened.all_headers if name == "set-cookie"]) == 1


@pytest.mark.parametrize(
    "query",
    [
        "token=wrong",
        "token=",
        f"token={TOKEN_QUOTED}x",
        f"token={TOKEN_QUOTED}&token=x",
        "token=%FF%00",
        "TOKEN=1",
    ],
)
def test_a_wrong_token_opens_nothing(locked: int, query: str) -> None:
    refused = ask(locked, f"/?{query}")

    assert refused.status == 403
    assert "set-cookie" not in refused.headers


def test_a_wrong_cookie_opens_nothing(locked: int) -> None:
    name, _, value = cookie_of(ask(locked, f"/?token={TOKEN_QUOTED}")).partition("=")
    for cookie in (f"{name}=", f"{name}={TOKEN}", f"{name}={value[:-1]}", f"other={value}", f'{name}="', "\xff=1"):
        assert ask(locked, headers=(f"Cookie: {cookie}",)).status == 403


def test_a_wrong_token_is_told_even_to_who_has_the_cookie(locked: int) -> None:
    cookie = cookie_of(ask(locked, f"/?token={TOKEN_QUOTED}"))

    assert ask(locked, "/?token=wrong", headers=(f"Cookie: {cookie}",)).status == 403


def test_who_follows_a_link_of_another_site_gets_in_too(locked: int) -> None:
    """A redirection would go on without the strict cookie, since another site began it."""
    opened = ask(
        locked, f"/a?token={TOKEN_QUOTED}", headers=("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")
    )

    assert (opened.status, opened.headers["refresh"]) == (200, "0; url=/a")
    assert "SameSite=Strict" in opened.headers["set-cookie"]


def test_the_token_opens_no_door_for_other_methods_or_hosts(locked: int) -> None:
    cookie = cookie_of(ask(locked, f"/?token={TOKEN_QUOTED}"))

    assert ask(locked, method="POST", headers=(f"Cookie: {cookie}",)).status == 405
    assert ask(locked, host="evil.example", headers=(f"Cookie: {cookie}",)).status == 421


def test_tokens_and_cookies_are_compared_in_constant_time(locked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    real = hmac.compare_digest
    monkeypatch.setattr(safety.hmac, "compare_digest", noted)
    cookie = cookie_of(ask(locked, f"/?token={TOKEN_QUOTED}"))
    ask(locked, "/?token=wrong")
    ask(locked, headers=(f"Cookie: {cookie}",))

    value = cookie.partition("=")[2].encode()
    assert compared == [(TOKEN.encode(), TOKEN.encode()), (b"wrong", TOKEN.encode()), (value, value)]


def test_two_dashboards_of_one_host_keep_their_cookies_apart() -> None:
    with (
        served(protect(echo, hosts={"127.0.0.1"}, token="the first one")) as one,
        served(protect(echo, hosts={"127.0.0.1"}, token="the second one")) as other,
    ):
        cookies = [cookie_of(ask(one, "/?token=the+first+one")), cookie_of(ask(other, "/?token=the+second+one"))]
        assert cookies[0].partition("=")[0] != cookies[1].partition("=")[0]
        both = f"Cookie: {'; '.join(cookies)}"
        assert [ask(one, headers=(both,)).status, ask(other, headers=(both,)).status] == [200, 200]


def test_no_websocket_is_opened(port: int) -> None:
    upgrade = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")

    assert ask(port, headers=upgrade).status == 200  # as any other request
