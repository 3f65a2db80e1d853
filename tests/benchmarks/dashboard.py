"""How fast the dashboard answers at 10,000 trials: pages, table queries, charts, and a page in a browser."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote

from hpo.paths import ExperimentPaths
from tests.benchmarks.measure import median, scratch, show, verdict
from tests.dashboard.serving import ask, running
from tests.synthetic import make_experiment

NUM_TRIALS, NUM_RUNS, GOAL_MS = 10_000, 7, 300.0
_ID = "5e9d_0001"
_PAGE = f"/experiments/{_ID}"
_FILTER = quote("params.optimizer_config.lr<=0.01")
_QUERIES = {
    "the experiment's page": _PAGE,
    "sorted by a metric, page 40": f"{_PAGE}?sort=metrics.val_loss&order=desc&page=40",
    "filtered by a parameter and a state, sorted": f"{_PAGE}?where={_FILTER}&state=COMPLETE&sort=metrics.val_loss",
    "searched for a text": f"{_PAGE}?text=tanh&order=desc&page=9",
    "home": "/",
    "a trial": f"{_PAGE}/trials/3",
    "history": f"{_PAGE}/data/history",
    "parallel coordinates": f"{_PAGE}/data/parallel",
    "timeline": f"{_PAGE}/data/timeline",
}


def main() -> None:
    """Each answer is found anew: a file is touched before, so that nothing that is kept will do."""
    with scratch() as folder:
        root = make_experiment(folder, NUM_TRIALS, experiment_id=_ID)
        paths = ExperimentPaths.of(root)
        with running(folder) as dashboard:
            port = dashboard.port
            first = _took_ms(port, _PAGE)
            rows = [("the first page after the start", verdict(first, GOAL_MS, " ms"))]
            for name, target in _QUERIES.items():
                times = []
                for _ in range(NUM_RUNS):
                    paths.config.touch()
                    time.sleep(0.1)  # a file this young is never taken for unchanged
                    times.append(_took_ms(port, target))
                rows.append((name, verdict(median(times), GOAL_MS, " ms")))
            tag = ask(port, _PAGE).headers["etag"]
            unchanged = [_took_ms(port, _PAGE, f"If-None-Match: {tag}") for _ in range(NUM_RUNS)]
            rows.append(("the page again, nothing new (304)", f"{median(unchanged):.1f} ms"))
            rows += _in_a_browser(port, paths.config)
    show(f"dashboard: {NUM_TRIALS} trials, 5 parameters, medians of {NUM_RUNS}", rows)


def _took_ms(port: int, target: str, *headers: str) -> float:
    begun = time.perf_counter()
    answer = ask(port, target, headers=headers)
    took = (time.perf_counter() - begun) * 1e3
    assert answer.status in (200, 304), answer.text
    return took


def _in_a_browser(port: int, touched: Path) -> list[tuple[str, str]]:
    """From the start of a navigation until the page with its table is loaded, and until all charts are drawn."""
    import pytest

    from tests.dashboard.browser import browsing

    loaded, drawn = [], []
    try:
        with browsing() as browser:
            for _ in range(NUM_RUNS):
                touched.touch()
                time.sleep(0.1)
                browser.open(f"http://127.0.0.1:{port}{_PAGE}")
                loaded.append(
                    browser.driver.execute_script(
                        "return performance.getEntriesByType('navigation')[0].loadEventEnd"
                    )
                )
                browser.until(
                    lambda: browser.driver.execute_script(
                        "return document.querySelectorAll('#chart-timeline svg, #chart-parallel svg').length > 1"
                    )
                )
                drawn.append(browser.driver.execute_script("return performance.now()"))
    except pytest.skip.Exception as reason:
        return [("in a browser", f"not measured: {reason}")]
    return [
        ("in a browser, until the page is loaded", verdict(median(loaded), GOAL_MS, " ms")),
        ("in a browser, until its charts are drawn", f"{median(drawn):.0f} ms"),
    ]


if __name__ == "__main__":
    main()
