"""optuna-dashboard and TensorBoard in a real browser: what they show, what they say, and whom they ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.by import By

from tests.dashboard.browser import Browser, browsing
from tests.dashboard.conftest import FIRST, SECOND
from tests.dashboard.serving import Running, ask


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened:
        yield opened


def of_this_host_alone(browser: Browser, dashboard: Running) -> bool:
    browser.follow()
    assert browser.hosts() == {f"127.0.0.1:{dashboard.port}"}
    assert {method for method, _ in browser.requests} == {"GET"}
    assert {url: status for url, status in browser.statuses.items() if status >= 400} == {}
    return True


def test_optuna_dashboard_shows_the_study_of_each_experiment(dashboard: Running, browser: Browser) -> None:
    base = f"http://127.0.0.1:{dashboard.port}"
    for experiment_id, other in ((FIRST, SECOND), (SECOND, FIRST)):
        browser.open(f"{base}/optuna/{experiment_id}")
        browser.until(lambda: "Best Trial" in browser.text and "Hyperparameter Importance" in browser.text)
        assert browser.address == f"{base}/optuna/{experiment_id}/dashboard/studies/1"
        assert f"{experiment_id} (id=1)" in browser.text
        assert other not in browser.text
        assert "optimizer_config.lr" in browser.text

    assert browser.complaints() == []
    assert of_this_host_alone(browser, dashboard)


def test_optuna_dashboard_stays_below_its_prefix(dashboard: Running, browser: Browser) -> None:
    base = f"http://127.0.0.1:{dashboard.port}/optuna/{FIRST}/dashboard"
    for page in ("trials", "trialTable", "note"):
        browser.open(f"{base}/studies/1/{page}")
        browser.until(lambda: FIRST in browser.text and "LOADING" not in browser.text)
    links = [each.get_attribute("href") for each in browser.driver.find_elements(By.CSS_SELECTOR, "a[href]")]
    assert [link for link in links if link.startswith("http://127.0.0.1") and not link.startswith(base)] == []
    browser.open(base)
    browser.until(lambda: FIRST in browser.text)
    browser.driver.find_element(By.CSS_SELECTOR, f'a[href="/optuna/{FIRST}/dashboard/studies/1"]').click()
    browser.until(lambda: "Best Trial" in browser.text)

    assert browser.complaints() == []
    assert of_this_host_alone(browser, dashboard)


def test_tensorboard_shows_the_curves_of_the_trials(dashboard: Running, browser: Browser) -> None:
    base = f"http://127.0.0.1:{dashboard.port}/tensorboard/{FIRST}"
    browser.open(base)
    browser.until(lambda: "val_loss" in browser.text and "Smoothed" in browser.text)
    assert browser.text.count("/dashboard") >= 3
    for page in ("scalars", "hparams", "timeseries"):
        browser.open(f"{base}/?tensorboardColab=true#{page}")
        browser.until(lambda: "TensorBoard" in browser.text and "INACTIVE" in browser.text)

    assert browser.complaints() == []
    assert of_this_host_alone(browser, dashboard)


def test_a_name_that_leads_here_from_elsewhere_shows_nothing(dashboard: Running) -> None:
    """DNS rebinding: the page of a foreign name asks this server, which would be of its own origin."""
    with browsing() as browser:
        browser.open(f"http://rebound.localhost:{dashboard.port}/optuna/{FIRST}/api/studies")
        assert "not served under that name" in browser.text
    assert ask(dashboard.port, host="rebound.localhost").status == 421
