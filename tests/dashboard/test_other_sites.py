"""In a real browser: how the token gets in, and what a page of another site can do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from hpo.dashboard.asgi import HTML, Receive, Scope, Send, answer
from tests.dashboard.browser import Browser, browsing
from tests.dashboard.serving import Running, ask, running, served

TOKEN = "one that is given"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def locked(shown: Path) -> Iterator[Running]:
    with running(shown, "--token", TOKEN) as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def elsewhere(dashboard: Running, locked: Running) -> Iterator[str]:
    """A page of another site, since `localhost` and `127.0.0.1` are two."""
    open_, closed = (f"http://127.0.0.1:{each.port}" for each in (dashboard, locked))
    page = (
        "<!doctype html><title>elsewhere</title>"
        f'<a id="link" href="{closed}/?token={TOKEN.replace(" ", "+")}">x</a>'
        f'<iframe id="frame" src="{open_}/"></iframe><img id="image" src="{open_}/static/icon.svg">'
        f'<script id="script" src="{open_}/static/main.js"></script>'
        f'<script>window.read = "waits"; fetch("{open_}/", {{mode: "no-cors"}})'
        '.then(answer => { window.read = answer.type }, error => { window.read = "refused" })</script>'
    )

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(scope, send, 200, page, HTML)

    with served(serve) as port:
        yield f"http://localhost:{port}/"


def is_in(browser: Browser, dashboard: Running) -> bool:
    return browser.address == f"http://127.0.0.1:{dashboard.port}/" and "Experiments" in browser.text


def test_the_token_is_typed_once(locked: Running, browser: Browser) -> None:
    browser.driver.delete_all_cookies()
    browser.open(f"http://127.0.0.1:{locked.port}/")
    assert "needs its token" in browser.text
    browser.driver.find_element(By.NAME, "token").send_keys(TOKEN)
    browser.driver.find_element(By.TAG_NAME, "button").click()
    browser.until(lambda: is_in(browser, locked))
    browser.driver.refresh()
    browser.until(lambda: is_in(browser, locked))

    assert browser.driver.execute_script("return document.cookie") == ""
    (cookie,) = browser.driver.get_cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], "expiry" in cookie) == (True, "Strict", False)
    # the first answer was a refusal; hints for forms begin with [DOM]
    said = [message for message in browser.complaints() if not re.search(r"403 \(Forbidden\)|\[DOM\]", message)]
    assert said == []


def test_the_token_leaves_the_address_bar(locked: Running, browser: Browser) -> None:
    browser.driver.delete_all_cookies()
    browser.open(f"http://127.0.0.1:{locked.port}/?token={TOKEN.replace(' ', '+')}")

    browser.until(lambda: is_in(browser, locked))


def test_a_link_of_another_site_opens_it(locked: Running, elsewhere: str, browser: Browser) -> None:
    browser.open(f"http://127.0.0.1:{locked.port}/")
    browser.driver.delete_all_cookies()
    browser.open(elsewhere)
    browser.driver.find_element(By.ID, "link").click()

    browser.until(lambda: is_in(browser, locked))


def test_a_page_of_another_site_gets_nothing_and_shows_nothing(elsewhere: str, browser: Browser) -> None:
    browser.complaints()
    browser.open(elsewhere)
    browser.until(lambda: browser.driver.execute_script("return window.read") != "waits")

    assert browser.driver.execute_script("return window.read") == "refused"
    assert browser.driver.execute_script("return document.getElementById('image').naturalWidth") == 0
    said = " ".join(browser.complaints())
    assert "frame-ancestors" in said or "X-Frame-Options" in said
    assert said.count("NotSameOrigin") + said.count("403 (Forbidden)") >= 2


def test_what_it_would_get_is_there_for_its_own_pages(dashboard: Running) -> None:
    assert [ask(dashboard.port, path).status for path in ("/", "/static/icon.svg", "/static/main.js")] == [200] * 3
