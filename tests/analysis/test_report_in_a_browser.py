"""The report in a real browser: nothing in it is wider than the window, on a telephone too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

import hpo.analysis
from tests.analysis.planted import Trial, plant

Quadratic = Callable[..., DictConfig]
LONG = "a_name_that_is_much_longer_than_a_telephone_is_wide"
# what is moved sideways on its own may be wider
BEYOND = """
const width = document.documentElement.clientWidth;
const isBeyond = (element) => element.getBoundingClientRect().right > width + 1;
return [...document.querySelectorAll("body *")]
  .filter((element) => isBeyond(element) && !element.closest(".scroll, nav, .is-wide"))
  .map((element) => element.tagName + " " + element.textContent.slice(0, 40));
"""


def test_nothing_of_the_report_is_wider_than_a_telephone(
    quadratic: Quadratic, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("selenium")
    from tests.dashboard.browser import browsing

    monkeypatch.setattr("hpo.analysis.run.figures", lambda *_: iter(()))
    trials = [
        Trial(
            {"task.x": float(i), f"task.{LONG}": [LONG * 2, "b"][i % 2], "task.y": [8, 16][i % 3 % 2]},
            {"loss": float(i), f"val_{LONG}": float(i % 5)},
            losses=[9.0 + i, float(i)],
        )
        for i in range(12)
    ]
    roots = [plant(quadratic(experiment_id=f"{LONG}_{i}", name=LONG), trials).root for i in range(2)]
    done = hpo.analysis.analyse(roots)
    with browsing() as browser:
        metrics = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.open((done.directory / "report.html").as_uri())
        # all figures, and not only those in sight
        browser.driver.execute_script("window.dispatchEvent(new Event('beforeprint'))")
        browser.until(
            lambda: browser.driver.execute_script(
                "return [...document.querySelectorAll('.plot')].every(each => each.querySelector('.main-svg'))"
            )
        )

        assert browser.driver.execute_script("return document.documentElement.scrollWidth") == 390
        assert browser.driver.execute_script(BEYOND) == []
        assert browser.complaints() == []
