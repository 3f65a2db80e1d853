"""Text of an experiment that looks like markup: names, parameters, errors and logs are shown and never run."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from hpo.paths import ExperimentPaths
from tests.dashboard.browser import Browser, browsing
from tests.dashboard.conftest import FIRST
from tests.dashboard.serving import Running, ask, running

# a name of a file holds no slash
NAME = "<img src=x onerror=window.hacked=1>'\"{{7*7}}${8*8}"
TEXT = f"{NAME}</script><script>window.hacked=1</script><svg onload=window.hacked=1>javascript:window.hacked=1"
TRIAL = 0


@pytest.fixture(scope="module")
def hostile(shown: Path, tmp_path_factory: pytest.TempPathFactory) -> ExperimentPaths:
    folder = tmp_path_factory.mktemp("hostile")
    paths = ExperimentPaths(folder, NAME)
    shutil.copytree(ExperimentPaths(shown, FIRST).root, paths.root)
    for path in (paths.study_db, paths.state_db):
        (paths.root / path.name.replace(NAME, FIRST)).rename(path)
    _fill_state_db(paths)
    _fill_study(paths)
    trial = paths.trial(NAME)
    next(paths.root.glob("0000_*")).rename(trial.root)
    trial.log.write_text(f"\x1b]0;title\x07{TEXT}\n" * 3)
    paths.log.write_text(f"{TEXT}\n")
    paths.config.write_text(f"{paths.config.read_text()}\n{json.dumps(TEXT)}: {json.dumps(TEXT)}\n")
    writer = EventFileWriter(str(trial.dashboard))
    value = Summary.Value(tag=f"{TEXT}/loss", simple_value=1.0)
    writer.add_event(Event(step=1, wall_time=1.8e9, summary=Summary(value=[value])))
    writer.close()
    return paths


def _fill_state_db(paths: ExperimentPaths) -> None:
    text = {TEXT: TEXT, "<b>x</b>": 1.0}
    with closing(sqlite3.connect(paths.state_db)) as connection, connection:
        for table in ("experiments", "trials", "reports", "replicates"):
            connection.execute(f"UPDATE {table} SET experiment_id = ?", (NAME,))
        connection.execute(
            "UPDATE experiments SET name = ?, tags = ?, notes = ?, host = ?, command_line = ?, git_diff = ?",
            (TEXT, json.dumps([TEXT]), TEXT, TEXT, TEXT, TEXT),
        )
        (params, metrics) = connection.execute("SELECT params, metrics FROM trials WHERE number = 0").fetchone()
        connection.execute(
            "UPDATE trials SET trial_id = ?, params = ?, metrics = ?, config = ?, reason = ?, traceback = ?, "
            "host = ?, device = ?, state = 'FAIL' WHERE number = 0",
            (
                NAME,
                json.dumps(json.loads(params) | text),
                json.dumps(json.loads(metrics) | {TEXT: 0.5}),
                json.dumps(text | {"model_config": text}),
                TEXT,
                TEXT,
                TEXT,
                TEXT,
            ),
        )
        metrics = json.dumps({"val_loss": 0.5, TEXT: 0.5})
        connection.execute("UPDATE reports SET metrics = ? WHERE number = 0", (metrics,))


def _fill_study(paths: ExperimentPaths) -> None:
    with closing(sqlite3.connect(paths.study_db)) as connection, connection:
        connection.execute("UPDATE studies SET study_name = ?", (TEXT,))
        connection.execute("UPDATE trial_params SET param_name = ? WHERE param_name LIKE '%dropout'", (TEXT,))
        connection.execute(
            "UPDATE study_system_attributes SET value_json = ? WHERE key = 'study:metric_names'",
            (json.dumps([TEXT]),),
        )
        connection.execute(
            "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (1, ?, ?)",
            (TEXT, json.dumps(TEXT)),
        )
        note = f"# {TEXT}\n[x](javascript:window.hacked=1)\n![x](https://elsewhere.invalid/x.png)"
        connection.execute(
            "INSERT INTO study_system_attributes (study_id, key, value_json) VALUES (1, ?, ?)",
            ("dashboard:note_str:0", json.dumps(note)),
        )
        connection.execute(
            "INSERT INTO study_system_attributes (study_id, key, value_json) VALUES (1, 'dashboard:note_ver', '1')"
        )


@pytest.fixture(scope="module")
def dashboard_of_it(hostile: ExperimentPaths, shown: Path) -> Iterator[Running]:
    # a second one, so that there is a list
    shutil.copytree(ExperimentPaths(shown, FIRST).root, ExperimentPaths(hostile.experiment_dir, FIRST).root)
    with running(hostile.experiment_dir) as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened:
        yield opened


def planted(browser: Browser) -> Any:
    """What of the text has become part of the page."""
    return browser.driver.execute_script(
        "return [window.hacked, document.querySelectorAll('img[src=\"x\"], svg[onload], [onerror]').length]"
    )


ID = quote(NAME, safe="")
OWN = [
    "/",
    f"/experiments/{ID}",
    f"/experiments/{ID}?sort=params.{quote(TEXT)}&columns={quote(TEXT)}&q={quote(TEXT)}",
    f"/experiments/{ID}/trials/{TRIAL}",
    f"/experiments/{ID}/compare?trials=0,1&t=0&t=1",
    "/optuna",
    "/tensorboard",
]


@pytest.mark.parametrize("target", OWN, ids=range(len(OWN)))
def test_the_pages_show_markup_as_text(dashboard_of_it: Running, browser: Browser, target: str) -> None:
    assert ask(dashboard_of_it.port, target).status in (200, 404)
    browser.open(f"http://127.0.0.1:{dashboard_of_it.port}{target}")
    browser.until(lambda: browser.driver.execute_script("return document.readyState") == "complete")
    browser.until(lambda: "img src=x" in browser.driver.page_source or "%3Cimg" in browser.driver.page_source)

    assert planted(browser) == [None, 0]
    assert browser.complaints() == []  # a policy that had to step in would say so


def test_the_trial_shows_its_log_and_its_error_as_they_are(dashboard_of_it: Running, browser: Browser) -> None:
    browser.open(f"http://127.0.0.1:{dashboard_of_it.port}/experiments/{ID}/trials/{TRIAL}")

    browser.until(lambda: browser.text.count("<script>window.hacked=1</script>") >= 5)
    assert "\x1b" not in browser.driver.page_source
    assert planted(browser) == [None, 0]
    assert browser.complaints() == []


@pytest.mark.parametrize("page", ["", "trials", "note"])
def test_optuna_dashboard_runs_nothing_of_a_study(dashboard_of_it: Running, browser: Browser, page: str) -> None:
    """It shows notes as markup: what they load from elsewhere is stopped by the policy."""
    browser.open(f"http://127.0.0.1:{dashboard_of_it.port}/optuna/{ID}/dashboard/studies/1/{page}")
    browser.until(lambda: "img src=x" in browser.text)

    assert browser.driver.execute_script("return window.hacked") is None
    browser.follow()
    assert "elsewhere.invalid" not in {host for url, host in _arrived(browser)}
    browser.complaints()


def test_tensorboard_runs_nothing_of_a_run(dashboard_of_it: Running, browser: Browser) -> None:
    browser.open(f"http://127.0.0.1:{dashboard_of_it.port}/tensorboard/{ID}/")
    browser.until(lambda: "img src=x" in browser.text)

    assert browser.driver.execute_script("return window.hacked") is None


def _arrived(browser: Browser) -> list[tuple[str, str]]:
    return [(url, url.split("/")[2]) for url in browser.statuses if "://" in url]
