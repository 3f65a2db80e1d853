"""Every page, chart and filter, over HTTP, on an experiment whose answers are known."""

from __future__ import annotations

import itertools
import json
import math
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from hpo.dashboard.app import create_app
from hpo.dashboard.diffs import differences
from hpo.paths import ExperimentPaths
from hpo.records import State
from hpo.saved import SavedExperiment, SavedTrial
from tests.dashboard.reading import Page
from tests.dashboard.serving import Answer, ask, served
from tests.synthetic import SLOTS, make_experiment

ID = "5e9d_0007"
BASE = f"/experiments/{ID}"
NUM_TRIALS, NUM_RUNNING = 60, 2

Get = Callable[..., Answer]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One experiment whose scheduler died, and one that is complete."""
    folder = tmp_path_factory.mktemp("pages")
    make_experiment(folder, NUM_TRIALS, experiment_id=ID, num_running=NUM_RUNNING, num_directories=4)
    make_experiment(folder, 5, experiment_id="0th3_0008", num_directories=1)
    return folder


@pytest.fixture(scope="module")
def trials(folder: Path) -> list[SavedTrial]:
    return SavedExperiment.open(ExperimentPaths(folder, ID).root).trials


@pytest.fixture(scope="module")
def get(folder: Path) -> Iterator[Get]:
    """`get(path, **query)`: a list stands for several values."""
    with served(create_app(folder)) as port:

        def asked(path: str, *headers: str, **query: Any) -> Answer:
            text = urlencode(query, doseq=True)
            return ask(port, f"{path}?{text}" if text else path, headers=headers)

        yield asked


def numbers(page: Page) -> list[int]:
    """The trials of the table, in its order."""
    return [int(value) for tag, at in page.tags if tag == "tr" and (value := at.get("data-key", "")).isdigit()]


def table(get: Get, **query: Any) -> list[int]:
    answer = get(BASE, size=100, **query)
    assert answer.status == 200, answer.text
    return numbers(Page(answer.text))


# ------------------------------------------------------------------------------------------- home


def test_home_shows_each_experiment_with_state_progress_best_value_and_time(
    get: Get, trials: list[SavedTrial]
) -> None:
    page = Page(get("/").text)

    (row,) = [row for row in page.rows if ID in row[0]]
    best = min(each.value for each in trials if each.state is State.COMPLETE and each.value is not None)
    assert "its scheduler died" in row[1]
    assert f"{NUM_TRIALS - NUM_RUNNING} / {NUM_TRIALS}" in row[2]
    assert f"val_loss {best:.5g}" in row[3]
    assert row[4] != ""
    assert row[5].startswith("2026-03-01 09:00")
    (other,) = [row for row in page.rows if "0th3_0008" in row[0]]
    assert (other[1], "5 / 5" in other[2]) == ("complete", True)
    assert {BASE, "/experiments/0th3_0008"} <= set(page.links)


def test_an_experiment_that_is_over_lacks_no_trial_and_waits_for_no_value(tmp_path: Path) -> None:
    """Of a grid that has fewer points than total_trials says, and of one in which every trial failed."""
    for name, state, changed in (("grid_0001", "COMPLETE", ""), ("fail_0002", "FAIL", ", metrics = NULL")):
        paths = ExperimentPaths.of(make_experiment(tmp_path, 6, experiment_id=name, num_directories=0))
        with closing(sqlite3.connect(paths.state_db)) as connection, connection:
            connection.execute(
                "UPDATE experiments SET state = ?, config = json_set(config, '$.total_trials', 30)", (state,)
            )
            if changed:
                connection.execute(f"UPDATE trials SET state = 'FAIL'{changed}")
    with served(create_app(tmp_path)) as port:
        rows = {row[0].split()[-1]: row for row in Page(ask(port).text).rows[1:]}
        page = Page(ask(port, "/experiments/grid_0001").text)
        failed = Page(ask(port, "/experiments/fail_0002").text)

    assert re.search(r"\b(\d+) / \1\b", rows["grid_0001"][2]), rows
    assert page.attributes("progress", "max") == page.attributes("progress", "value")
    assert rows["fail_0002"][3] == "none"
    assert "no complete trial yet" not in failed.text


def test_charts_say_whether_filters_keep_trials_away(get: Get) -> None:
    for kind in ("history", "parallel"):
        assert not chart(get, kind)["is_filtered"]
        assert chart(get, kind, state="PRUNED_POOR_PERFORMANCE")["is_filtered"]


def test_an_experiment_alone_is_its_own_home(folder: Path) -> None:
    with served(create_app(ExperimentPaths(folder, ID).root)) as port:
        answer = ask(port, "/")
        assert (answer.status, answer.headers["location"]) == (303, BASE)
        assert "Experiments" not in Page(ask(port, BASE).text).text
        assert ask(port, "/experiments/0th3_0008").status == 404


def test_what_is_not_there_is_a_page_that_says_so(get: Get) -> None:
    for path in ("/experiments/none", "/nothing", f"{BASE}/trials/{NUM_TRIALS}", f"{BASE}/trials/x"):
        answer = get(path)
        assert (answer.status, "Not found" in answer.text) == (404, True), path
    assert get(f"{BASE}/trials/9999/log").status == 404
    assert get(f"{BASE}/files/none").status == 404


# ------------------------------------------------------------------------------------------ table


def test_the_counts_by_state_are_links_that_filter(get: Get, trials: list[SavedTrial]) -> None:
    page = Page(get(BASE).text)

    for state in (State.COMPLETE, State.RUNNING, State.PRUNED_POOR_PERFORMANCE):
        wanted = [each.number for each in trials if each.state is state]
        assert f"?state={state.value}" in page.links
        assert f"{state.value.replace('_', ' ').lower()} {len(wanted)}" in page.text
        assert table(get, state=state.value) == wanted
    assert table(get, state=["RUNNING", "FAIL"]) == [
        each.number for each in trials if each.state in (State.RUNNING, State.FAIL)
    ]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("metrics.val_loss", lambda trial: trial.metrics.get("val_loss")),
        ("params.optimizer_config.lr", lambda trial: trial.params["optimizer_config.lr"]),
        ("params.model_config.activation", lambda trial: trial.params["model_config.activation"]),
        ("duration", lambda trial: trial.duration_s),
        ("state", lambda trial: trial.state.value),
    ],
)
def test_the_table_is_sorted_by_any_column_and_what_has_no_value_comes_last(
    get: Get, trials: list[SavedTrial], column: str, key: Callable[[SavedTrial], Any], order: str
) -> None:
    found = table(get, sort=column, order=order)

    values = [key(trials[number]) for number in found]
    known = [value for value in values if value is not None]
    assert sorted(found) == list(range(NUM_TRIALS))
    assert known == sorted(known, reverse=order == "desc")
    assert values[: len(known)] == known


def test_a_heading_links_to_the_order_by_it_and_back(get: Get) -> None:
    page = Page(get(BASE, sort="metrics.val_loss").text)

    assert "?sort=metrics.val_loss&order=desc" in page.links
    sorts = {at["aria-sort"] for tag, at in page.tags if tag == "th" and "aria-sort" in at}
    assert sorts == {"none", "ascending"}


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("params.optimizer_config.lr<=0.01", lambda trial: trial.params["optimizer_config.lr"] <= 0.01),
        ("params.optimizer_config.lr>=1e-2", lambda trial: trial.params["optimizer_config.lr"] >= 0.01),
        ("params.model_config.activation=tanh", lambda trial: trial.params["model_config.activation"] == "tanh"),
        ("params.model_config.activation!=tanh", lambda trial: trial.params["model_config.activation"] != "tanh"),
        ("params.model_config.activation~EL", lambda trial: "el" in trial.params["model_config.activation"]),
        ("params.train_config.batch_size=64", lambda trial: trial.params["train_config.batch_size"] == 64),
        ("metrics.val_loss<=0.6", lambda trial: trial.metrics.get("val_loss", math.inf) <= 0.6),
        ("duration>=40", lambda trial: (trial.duration_s or 0) >= 40),
        ("reason~planted", lambda trial: trial.state is State.FAIL),
        ("metrics.val_loss=null", lambda trial: "val_loss" not in trial.metrics),
    ],
)
def test_a_filter_keeps_the_trials_for_which_it_holds(
    get: Get, trials: list[SavedTrial], where: str, holds: Callable[[SavedTrial], bool]
) -> None:
    assert table(get, where=where) == [each.number for each in trials if holds(each)]


def test_filters_add_up_and_each_has_a_link_that_takes_it_away(get: Get, trials: list[SavedTrial]) -> None:
    query = {"state": "COMPLETE", "where": ["params.optimizer_config.lr<=0.01", "metrics.val_loss<=1"]}
    page = Page(get(BASE, size=100, **query).text)

    assert numbers(page) == [
        each.number
        for each in trials
        if each.state is State.COMPLETE and each.params["optimizer_config.lr"] <= 0.01 and each.value <= 1  # type: ignore[operator] # complete
    ]
    assert any("where=metrics.val_loss%3C%3D1" in link and "lr" not in link for link in page.links)


def test_a_text_is_looked_for_in_names_parameters_and_errors(get: Get, trials: list[SavedTrial]) -> None:
    assert table(get, text="TANH") == [
        each.number for each in trials if each.params["model_config.activation"] == "tanh"
    ]
    assert table(get, text=trials[7].trial_id) == [7]
    assert table(get, text="planted") == [each.number for each in trials if each.state is State.FAIL]
    assert table(get, text="%") == []


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "params.none"},
        {"sort": "number; DROP TABLE trials"},
        {"sort": "(SELECT config FROM experiments)"},
        {"where": "metrics.none<=1"},
        {"where": "number=1 OR 1=1"},
        {"where": "1=1"},
        {"state": "x' OR '1'='1"},
        {"column": "metrics.none_such"},
        {"objective": "none_such"},
        {"curve": "none_such"},
        {"trial": "first"},
    ],
)
def test_a_name_that_is_none_is_left_out_and_told(get: Get, query: dict[str, str]) -> None:
    answer = get(BASE, size=100, **query)

    page = Page(answer.text)
    assert answer.status == 200
    if query == {"where": "number=1 OR 1=1"}:
        # a column, and a value that no trial has
        assert numbers(page) == []
    else:
        assert len(numbers(page)) == NUM_TRIALS
        assert "it is left out" in page.text


def test_numbers_beyond_all_bounds_in_an_address_are_taken_for_what_they_can_mean(get: Get) -> None:
    for query in (
        {"page": "99999999999999999999"},
        {"page": "-1"},
        {"page": "x"},
        {"size": "1e9"},
        {"trial": ["1e3", "-4", "99999999999999999999", "\u0663"]},
        {"where": "number<=99999999999999999999999999"},
    ):
        assert get(BASE, **query).status == 200, query


def test_pages_of_the_table_follow_one_another_without_a_gap(get: Get) -> None:
    seen = []
    for number in (1, 2, 3):
        page = Page(get(BASE, size=25, page=number, sort="metrics.val_loss").text)
        seen += numbers(page)
        assert f"page {number} of 3" in page.text
    assert sorted(seen) == list(range(NUM_TRIALS))
    assert seen == table(get, sort="metrics.val_loss")
    assert "page 3 of 3" in Page(get(BASE, size=25, page=8).text).text


def test_columns_are_chosen_by_the_address(get: Get, trials: list[SavedTrial]) -> None:
    chosen = ["params.model_config.dropout", "metrics.train_accuracy"]
    page = Page(get(BASE, column=chosen, where="number=3").text)

    (row,) = [row for row in page.rows if trials[3].trial_id in row[1]]
    dropout, accuracy = trials[3].params["model_config.dropout"], trials[3].metrics["train_accuracy"]
    assert row[3:] == [f"{dropout:.5g}", f"{accuracy:.5g}"]


def test_a_running_trial_shows_its_newest_report(get: Get, folder: Path) -> None:
    page = Page(get(BASE, state="RUNNING").text)

    newest = SavedExperiment.open(ExperimentPaths(folder, ID).root).reports(NUM_TRIALS - 1)["val_loss"].iloc[-1]
    assert f"{newest:.5g}" in [cell for row in page.rows for cell in row]


def test_a_filter_can_be_made_of_the_parts_of_a_form(get: Get) -> None:
    answer = get(BASE, state="COMPLETE", add="metrics.val_loss", operator="<=", value="0.5")

    assert answer.status == 303
    assert answer.headers["location"] == f"{BASE}?state=COMPLETE&where=metrics.val_loss%3C%3D0.5"


def test_what_is_chosen_stays_chosen_on_other_pages(get: Get) -> None:
    page = Page(get(BASE, size=25, page=2, trial=[3, 30]).text)

    kept = [at for tag, at in page.tags if tag == "input" and at.get("name") == "trial"]
    assert {at["value"] for at in kept if at["type"] == "hidden" or "checked" in at} == {"3", "30"}
    assert all("trial=3&trial=30" in link for link in page.links if link.startswith("?sort="))


# ----------------------------------------------------------------------------- trial and comparison


def test_a_trial_shows_its_parameters_against_the_defaults(get: Get, trials: list[SavedTrial]) -> None:
    rows = {row[0]: row[1:] for row in Page(get(f"{BASE}/trials/3").text).rows}

    rate = trials[3].params["optimizer_config.lr"]
    assert rows["optimizer_config.lr"] == ["0.001", f"{rate:.5g}"]
    assert rows["train_config.batch_size"][0] == "32"


def test_what_is_of_the_search_is_not_set_against_the_defaults() -> None:
    before = {"search_space": {"lr": "interval(0,1)"}, "total_trials": 30, "lr": 0.1, "seed": 1}
    config = {"search_space": None, "total_trials": None, "lr": 0.2, "seed": 2}

    assert [each.key for each in differences(before, config, {"lr": 0.2})] == ["lr", "seed"]


def test_a_trial_shows_log_metrics_files_and_its_neighbours(get: Get, trials: list[SavedTrial]) -> None:
    page = Page(get(f"{BASE}/trials/3").text)

    assert "epoch 1/10 val_loss" in page.text
    assert ["val_loss", f"{trials[3].metrics['val_loss']:.5g}"] in page.rows
    assert {f"{BASE}/trials/2", f"{BASE}/trials/4"} <= set(page.links)
    (link,) = [link for link in page.links if link.endswith("results.json")]
    answer = get(link)
    assert answer.headers["content-disposition"].startswith("attachment")
    assert json.loads(answer.body)[-1]["val_loss"] == pytest.approx(trials[3].metrics["val_loss"])


def test_a_failed_trial_shows_its_error_and_traceback(get: Get, trials: list[SavedTrial]) -> None:
    failed = next(each.number for each in trials if each.state is State.FAIL)
    page = Page(get(f"{BASE}/trials/{failed}").text)

    assert "ValueError: planted" in page.text
    assert "Traceback (most recent call last)" in page.text


def test_trials_stand_side_by_side_and_what_differs_is_marked(get: Get, trials: list[SavedTrial]) -> None:
    page = Page(get(f"{BASE}/compare", trial=[5, 3, 4]).text)

    rows = {row[0]: row[1:] for row in page.rows}
    assert [cell[:9] for cell in rows["key"]] == [trials[number].trial_id for number in (5, 3, 4)]
    shown = [f"{trials[number].params['optimizer_config.lr']:.5g}" for number in (5, 3, 4)]
    assert rows["optimizer_config.lr"] == shown
    assert "differs" in page.attributes("tr", "class")
    assert any(link.startswith(f"{BASE}/compare?trial=5&trial=4") for link in page.links)
    assert "Choose two trials or more" in Page(get(f"{BASE}/compare").text).text
    assert "There is no trial" not in page.text


def test_a_comparison_says_which_trials_there_are_not(get: Get) -> None:
    page = Page(get(f"{BASE}/compare", trial=[5, 77777, 3, 66666, "x"]).text)

    assert "There is no trial 66666, 77777 here." in page.text
    assert "There is nothing here by the name in the trial x" in page.text
    assert any(link.startswith(f"{BASE}/trials/5") for link in page.links)


# ----------------------------------------------------------------------------------------- charts


def chart(get: Get, kind: str, **query: Any) -> Any:
    answer = get(f"{BASE}/data/{kind}", **query)
    assert answer.status == 200, answer.text
    return json.loads(answer.body)


def test_history_holds_the_values_and_the_best_so_far(get: Get, trials: list[SavedTrial]) -> None:
    found = chart(get, "history")

    assert {number: value for number, value, _ in found["points"]} == {
        each.number: each.value for each in trials if each.value is not None
    }
    best = [value for _, value in found["best"]]
    assert best == sorted(best, reverse=True)
    assert best[-1] == min(each.value for each in trials if each.state is State.COMPLETE and each.value)
    filtered = chart(get, "history", state="PRUNED_POOR_PERFORMANCE")
    assert {state for *_, state in filtered["points"]} == {"PRUNED_POOR_PERFORMANCE"}


def test_curves_are_those_of_the_chosen_trials_or_of_the_first_in_the_table(
    get: Get, folder: Path, trials: list[SavedTrial]
) -> None:
    chosen = chart(get, "curves", trial=[4, 2], curve="val_accuracy")
    assert [line["number"] for line in chosen["lines"]] == [4, 2]
    reports = SavedExperiment.open(ExperimentPaths(folder, ID).root).reports(4)
    assert chosen["lines"][0]["points"] == [
        [step, pytest.approx(value)] for step, value in zip(reports["step"], reports["val_accuracy"], strict=True)
    ]

    first = chart(get, "curves", sort="metrics.val_loss", state="COMPLETE")
    best = sorted((each for each in trials if each.state is State.COMPLETE), key=lambda each: each.value or 0)
    assert [line["number"] for line in first["lines"]] == [each.number for each in best[:8]]


def test_the_curves_of_a_trial_lie_together_by_metric(get: Get) -> None:
    found = json.loads(get(f"{BASE}/trials/3/data/curves").body)

    by_metric = {each["metric"]: [line["name"] for line in each["lines"]] for each in found["charts"]}
    assert by_metric == {
        "loss": ["train", "val"],
        "accuracy": ["train", "val"],
        "learning_rate": ["learning_rate"],
    }


def test_parallel_coordinates_hold_complete_trials_the_best_first(get: Get, trials: list[SavedTrial]) -> None:
    found = chart(get, "parallel")

    kinds = {axis["title"]: (axis["kind"], axis.get("log")) for axis in found["axes"]}
    assert kinds["lr"] == ("number", True)
    assert kinds["dropout"] == ("number", False)
    assert kinds["activation"] == ("category", None)
    values = [row[-1] for row in found["rows"]]
    assert values == sorted(values)
    assert len(values) == sum(each.state is State.COMPLETE for each in trials)


def test_the_timeline_finds_the_slots_again(get: Get) -> None:
    found = chart(get, "timeline")

    assert len(found["slots"]) == SLOTS
    for slot in found["slots"]:
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(slot))
    assert 0.9 < found["busy"] <= 1


def test_the_planted_parameters_are_found_important(get: Get) -> None:
    deadline = time.monotonic() + 60
    while not (found := chart(get, "importance"))["is_ready"]:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    shares = dict(found["shares"])
    assert next(iter(shares)) == "optimizer_config.lr", found["told"]
    assert shares["model_config.dropout"] < shares["optimizer_config.lr"] / 3


# ------------------------------------------------------------------------------------------ following


def test_a_page_is_made_again_only_when_a_file_has_changed(get: Get, folder: Path) -> None:
    paths = ExperimentPaths(folder, ID)
    for path in (BASE, "/", f"{BASE}/data/history", f"{BASE}/trials/3/log", f"{BASE}/trials/3"):
        tag = get(path).headers["etag"]
        assert get(path, f"If-None-Match: {tag}").status == 304, path

    tag = get(BASE).headers["etag"]
    paths.config.touch()
    assert get(BASE, f"If-None-Match: {tag}").status == 200


def test_a_log_is_given_as_it_grows(get: Get, folder: Path, trials: list[SavedTrial]) -> None:
    log = ExperimentPaths(folder, ID).trial(trials[1].trial_id).log
    path = f"{BASE}/trials/1/log"
    tag = get(path).headers["etag"]
    with log.open("a", encoding="utf-8") as file:
        file.write("one more line\n")

    answer = get(path, f"If-None-Match: {tag}")
    assert json.loads(answer.body)["text"].endswith("one more line\n")
