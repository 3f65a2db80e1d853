"""A real browser, and what it did: its address bar, its console, every request that it made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

_BINARIES = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900")
# what the machine and not the page is the cause of
_HARMLESS = ("software WebGL", "GPU stall", "Multiple instances of Three.js")


@dataclass
class Browser:
    driver: Any
    requests: list[tuple[str, str]] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)

    def open(self, address: str) -> None:
        self.driver.get(address)

    def until(self, condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
        return WebDriverWait(self.driver, timeout_s, 0.1).until(lambda _: condition())

    @property
    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    @property
    def address(self) -> str:
        return str(self.driver.current_url)

    def complaints(self) -> list[str]:
        """What the console has said since the last call, of what a page can be the cause of."""
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in said if not any(each in message for each in _HARMLESS)]

    def follow(self) -> None:
        """Note the requests and responses since the last call."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            params = message["params"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append((params["request"]["method"], params["request"]["url"]))
            elif message["method"] == "Network.responseReceived":
                self.statuses[params["response"]["url"]] = params["response"]["status"]

    def hosts(self) -> set[str]:
        """Where its requests went; not those that stay in the browser."""
        return {urlsplit(url).netloc for _, url in self.requests if urlsplit(url).scheme not in ("data", "blob")}


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser without a window; skips the test where there is none."""
    missing = [name for name, path in _BINARIES.items() if path is None]
    if missing:
        pytest.skip(
            f"no browser: {' and '.join(missing)} not found (Debian: apt install chromium chromium-driver)"
        )
    options = webdriver.ChromeOptions()
    for option in _OPTIONS:
        options.add_argument(option)
    options.binary_location = str(_BINARIES["chromium"])
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(_BINARIES["chromedriver"])))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
