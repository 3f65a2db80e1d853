"""The pages in a real browser, on a search that runs meanwhile: they follow it, and their address says it all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from hpo.paths import ExperimentPaths
from tests.dashboard.browser import Browser, browsing
from tests.dashboard.searching import searching
from tests.dashboard.serving import running
from tests.synthetic import make_experiment

DONE = "5e9d_0001"
WIDTHS = (1280, 390)


@dataclass(frozen=True)
class Shown:
    """A dashboard on a search that runs and on an experiment that is complete, and a browser."""

    browser: Browser
    base: str
    search: ExperimentPaths

    @property
    def of_search(self) -> str:
        return f"{self.base}/experiments/{self.search.experiment_id}"

    @property
    def of_done(self) -> str:
        return f"{self.base}/experiments/{DONE}"

    def find(self, selector: str) -> Any:
        return self.browser.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.driver.find_elements(By.CSS_SELECTOR, selector))

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for it; what is looked at may be replaced meanwhile."""

        def tried() -> Any:
            try:
                return condition()
            except StaleElementReferenceException:
                return False

        return self.browser.until(tried)

    def click(self, selector: str) -> None:
        self.until(lambda: self.find(selector).click() is None)

    def script(self, code: str) -> Any:
        return self.browser.driver.execute_script(code)

    def numbers(self) -> list[int]:
        found = self.script(
            "return [...document.querySelectorAll('.trials tbody tr')].map(row => row.dataset.key)"
        )
        return [int(each) for each in found if each]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("browser")
    with browsing() as browser, searching(folder) as search:
        make_experiment(folder / "shown", 40, experiment_id=DONE, num_directories=3)
        with running(folder / "shown") as dashboard:
            yield Shown(browser, f"http://127.0.0.1:{dashboard.port}", search)


@pytest.fixture(autouse=True)
def silent(shown: Shown) -> Iterator[None]:
    """No test leaves an error in the console."""
    yield
    assert shown.browser.complaints() == []


def drawn(shown: Shown) -> bool:
    return bool(shown.all(".chart svg.frame"))


def test_home_follows_a_search_and_leads_to_it(shown: Shown) -> None:
    shown.browser.open(f"{shown.base}/")
    row = f'tr[data-key="{shown.search.experiment_id}"]'
    assert "running" in shown.find(row).text
    # nothing was loaded again
    shown.script("window.still = 1")
    before = shown.find(f"{row} .count").text
    shown.until(lambda: shown.find(f"{row} .count").text != before)
    assert shown.script("return window.still") == 1

    shown.click(f"{row} a")
    shown.until(lambda: shown.browser.address == shown.of_search)


def test_an_experiment_counts_on_and_draws_what_comes(shown: Shown) -> None:
    shown.browser.open(shown.of_search)
    shown.script("window.still = 1")
    shown.until(lambda: drawn(shown))
    before, points = shown.find("#num-done").text, len(shown.all("#chart-history .point"))
    shown.until(lambda: int(shown.find("#num-done").text) > int(before))
    shown.until(lambda: len(shown.all("#chart-history .point")) > points)

    assert shown.script("return window.still") == 1
    assert shown.find("#follow").text == "live"
    for kind in ("history", "curves", "timeline"):
        assert shown.all(f"#chart-{kind} svg.frame"), kind


def test_the_log_of_a_running_trial_is_followed(shown: Shown) -> None:
    shown.browser.open(f"{shown.of_search}/trials/1")
    log = shown.find("#log-text")

    def newest() -> int:
        return max(map(int, re.findall(r"this is step (\d+)", log.text)), default=0)

    shown.until(lambda: newest() > 0)
    before, loss = newest(), shown.find(".tile .big").text
    shown.until(lambda: newest() > before + 3)
    shown.until(lambda: shown.find(".tile .big").text != loss)
    shown.until(lambda: shown.all("#chart-trial path.line"))


def test_a_log_stays_where_its_reader_has_put_it(shown: Shown) -> None:
    shown.browser.open(f"{shown.of_search}/trials/1")
    log = shown.find("#log-text")
    shown.until(lambda: shown.script("return document.getElementById('log-text').scrollHeight") > 600)
    shown.until(
        lambda: shown.script("const log = document.getElementById('log-text'); return log.scrollTop > 100")
    )
    shown.script("document.getElementById('log-text').scrollTop = 40")
    before = len(log.text)
    shown.until(lambda: len(log.text) > before)
    assert shown.script("return document.getElementById('log-text').scrollTop") == 40


def test_an_error_is_text(shown: Shown) -> None:
    shown.browser.open(f"{shown.of_search}/trials/2")

    assert "ValueError: <b>planted</b>" in shown.find(".notice").text
    assert "Traceback" in shown.find("#traceback").text


def test_the_table_is_sorted_and_filtered_and_the_address_says_how(shown: Shown) -> None:
    shown.browser.open(shown.of_done)
    shown.script("window.still = 1")
    shown.click('.trials thead a[title="val_loss"]')
    shown.until(lambda: "sort=metrics.val_loss" in shown.browser.address)
    shown.until(lambda: shown.all('.trials th[aria-sort="ascending"] a[title="val_loss"]'))
    ascending = shown.numbers()
    shown.click('.trials thead a[title="val_loss"]')
    shown.until(lambda: shown.numbers()[0] != ascending[0])

    shown.click('.states a[href*="state=COMPLETE"]')
    shown.until(lambda: {each.text for each in shown.all(".trials tbody .mark")} == {"complete"})
    Select(shown.find("#add")).select_by_value("params.optimizer_config.lr")
    shown.find("input[name=value]").send_keys("0.01", Keys.ENTER)
    shown.until(lambda: shown.all(".filters .chip"))
    address, found = shown.browser.address, shown.numbers()
    assert "where=params.optimizer_config.lr%3C%3D0.01" in address
    assert "state=COMPLETE" in address
    assert shown.script("return window.still") == 1

    # whoever gets the address sees the same, and the way back leads through what was asked before
    shown.browser.driver.back()
    shown.until(lambda: not shown.all(".filters .chip") and shown.numbers() != found)
    shown.browser.driver.forward()
    shown.until(lambda: shown.numbers() == found)
    shown.browser.open(address)
    assert shown.numbers() == found


def test_chosen_trials_draw_their_curves_and_stand_side_by_side(shown: Shown) -> None:
    shown.browser.open(f"{shown.of_done}?sort=metrics.val_loss")
    first, second, *_ = shown.numbers()
    for number in (first, second):
        shown.click(f'.trials input[value="{number}"]')
    shown.until(lambda: f"trial={first}&trial={second}" in shown.browser.address)
    shown.until(lambda: len(shown.all("#chart-curves .legend li")) == 2)
    shown.click("button.primary")
    shown.until(lambda: "/compare" in shown.browser.address)

    assert [each.text[:4] for each in shown.all(".compare thead a:first-child")] == [f"{first:04}", f"{second:04}"]
    shown.until(lambda: len(shown.all("#chart-curves path.line")) == 2)
    shown.browser.driver.back()
    shown.until(lambda: len(shown.all(".trials input:checked")) == 2)


def test_a_range_on_an_axis_chooses_lines_and_leads_to_their_trials(shown: Shown) -> None:
    shown.browser.open(shown.of_done)
    shown.until(lambda: shown.all("#chart-parallel .area"))
    area = shown.all("#chart-parallel .area")[0]
    shown.script("document.querySelector('#chart-parallel').scrollIntoView({block: 'center'})")
    ActionChains(shown.browser.driver).move_to_element_with_offset(area, 0, -60).click_and_hold().move_by_offset(
        0, 90
    ).release().perform()
    shown.until(lambda: "chosen." in shown.find("#chart-parallel [role=status]").text)
    count = int(re.findall(r"(\d+) chosen", shown.find("#chart-parallel [role=status]").text)[0])
    assert 0 < count < len(shown.all("#chart-parallel .lines path"))
    assert len(shown.all("#chart-parallel .lines path:not(.out)")) == count

    shown.click("#chart-parallel [role=status] a")
    shown.until(lambda: len(shown.all(".filters .chip")) == 2)
    shown.until(lambda: len(shown.all("#chart-history .point:not(.pruned_poor_performance)")) > 0)
    assert "state=" not in shown.browser.address


def test_points_are_told_and_followed_with_the_keys_alone(shown: Shown) -> None:
    shown.browser.open(shown.of_done)
    shown.until(lambda: shown.all("#chart-history svg[tabindex]"))
    shown.script("document.querySelector('#chart-history svg').focus()")
    keys = ActionChains(shown.browser.driver)
    keys.send_keys(Keys.ARROW_RIGHT).perform()
    shown.until(lambda: shown.find("#chart-history .tip").text.startswith("trial 0\nval_loss "))
    keys.send_keys(Keys.ENTER).perform()
    shown.until(lambda: shown.browser.address == f"{shown.of_done}/trials/0")


def test_the_first_key_leads_past_the_head_and_the_axis_can_be_logarithmic(shown: Shown) -> None:
    shown.browser.open(shown.of_done)
    ActionChains(shown.browser.driver).send_keys(Keys.TAB).perform()
    assert shown.script("return document.activeElement.className") == "skip"
    shown.until(lambda: shown.all("#chart-history .controls button"))
    shown.click("#chart-history .controls button")
    shown.until(lambda: "log=history" in shown.browser.address)
    shown.until(lambda: shown.find("#chart-history .controls button").get_attribute("aria-pressed") == "true")


def test_axes_have_two_ticks_or_more_and_steps_are_whole(shown: Shown) -> None:
    shown.browser.open(shown.of_done)
    shown.until(lambda: drawn(shown))
    ticks = """
        const done = arguments[arguments.length - 1];
        import("/static/plot.js").then(({ scale }) => done([
          scale(44, 46, 0, 100).ticks(8, true), scale(0, 3, 0, 100).ticks(8, true),
          scale(0.91, 1.12, 0, 100).ticks(1),
          scale(5, 5, 0, 100).ticks(4), scale(0.011, 0.019, 0, 100, true).ticks(4),
          scale(1, 40, 0, 100, true).ticks(1),
          scale(1e-4, 1e-1, 0, 100, true).ticks(4),
        ]))"""
    whole, few, narrow, constant, *logs = shown.browser.driver.execute_async_script(ticks)

    assert (whole, few, constant) == ([44, 45, 46], [0, 1, 2, 3], [5])
    assert len(narrow) > 1
    for each, (low, high) in zip(logs, ((0.011, 0.019), (1, 40), (1e-4, 1e-1)), strict=True):
        assert len(each) > 1, each
        assert all(low * 0.99 <= value <= high * 1.01 for value in each), each


def test_a_curve_of_one_point_has_the_colour_of_its_trial(shown: Shown) -> None:
    shown.browser.open(shown.of_done)
    shown.until(lambda: drawn(shown))
    code = """
        const done = arguments[arguments.length - 1];
        import("/static/lines.js").then(({ curves }) => {
          const host = document.querySelector("#plot-history");
          host.replaceChildren();
          curves(host, { metric: "loss", lines: [7, 8].map((number) => (
            { number, id: `t${number}`, state: "FAIL", points: [[45, number]] })) }, {});
          const dots = [...host.querySelectorAll("circle.single")].map((dot) => getComputedStyle(dot));
          const texts = [...host.querySelectorAll(".axis text[text-anchor=middle]:not(.name)")];
          const named = texts.map((text) => text.textContent);
          done([dots.map((dot) => dot.fill), dots.map((dot) => dot.stroke), named]);
        })"""
    fills, strokes, ticks = shown.browser.driver.execute_async_script(code)

    assert fills == strokes
    assert len(set(fills)) == 2
    assert {"44", "45"} <= set(ticks) <= {"44", "45", "46"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window(shown: Shown, width: int, scheme: str) -> None:
    driver = shown.browser.driver
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for address in (
            f"{shown.base}/",
            shown.of_search,
            shown.of_done,
            f"{shown.of_done}/trials/1",
            f"{shown.of_done}/compare?trial=0&trial=1&trial=2&trial=3",
        ):
            shown.browser.open(address)
            if address != f"{shown.base}/":
                shown.until(lambda: drawn(shown))
            assert shown.script("return document.documentElement.scrollWidth") <= width, address
            ground = shown.script("return getComputedStyle(document.body).backgroundColor")
            assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_dashboard_that_is_away_is_told_and_found_again(shown: Shown) -> None:
    """The page stays, and goes on by itself when the dashboard is back."""
    driver = shown.browser.driver
    shown.browser.open(shown.of_search)
    shown.until(lambda: shown.find("#follow").text == "live")
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, **offline})
    shown.until(lambda: "does not answer" in shown.find("#follow").text)
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, **offline})
    shown.until(lambda: shown.find("#follow").text == "live")
    # that it was away is in the console, and should be
    assert all("ERR_INTERNET_DISCONNECTED" in each for each in shown.browser.complaints())
