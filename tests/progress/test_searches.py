"""Real searches on a real pseudo-terminal."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hpo.paths import ExperimentPaths
from tests.progress.terminals import Screen, Terminal, terminal
from tests.projects import make_project

_TASK = """
import os, sys, time, warnings
def run(trial, x):
    if x == 1:
        raise ValueError("no such luck")
    for step in range(1, 11):
        trial.report({"score": x + step / 100, "current_iteration": step, "total_steps": 10}, step=step)
    while not os.path.exists("go") and not trial.should_stop():
        time.sleep(0.01)
    print("from the trial")
    return {"score": x}
"""
_SEARCH = ("-m", "+task.x=range(0,4)", "search_algo=grid")


@contextmanager
def search(folder: Path, *arguments: str, columns: int = 100, **environment: str) -> Iterator[Terminal]:
    """The command in a project of its own; its trials end when the file `go` is there."""
    make_project(folder, _TASK)
    own = ("experiment_id=mine", "experiment_dir=experiments", "concurrent_trials=2", "fail_fast_trials=null")
    given = ("+experiment=mine", *own, *arguments)
    command = [sys.executable, "-W", "ignore", "-m", "hpo", *given]
    with terminal(command, cwd=folder, columns=columns, environment=environment) as there:
        yield there


def table_of(screen: Screen) -> str:
    return screen.visible.rpartition("experiment mine  ")[2]


def paths_of(folder: Path) -> ExperimentPaths:
    return ExperimentPaths(folder / "experiments", "mine")


def states(folder: Path) -> list[str]:
    with closing(sqlite3.connect(paths_of(folder).state_db)) as connection:
        return [state for (state,) in connection.execute("SELECT state FROM trials ORDER BY number")]


def test_a_search_shows_one_table_and_leaves_its_summary(tmp_path: Path) -> None:
    with search(tmp_path, *_SEARCH) as there:
        # with the last row of the table: it is not being drawn
        there.until(lambda screen: table_of(screen).count("10/10") == 2 and "no such luck" in table_of(screen))
        lines = there.screen.visible.splitlines()
        title = next(at for at, line in enumerate(lines) if line.startswith("experiment mine  "))
        table = lines[title:]
        assert "1/4" in table[1]
        assert table[2] == "no trial is complete yet"
        (row,) = [line for line in table if line.split()[:1] == ["0"]]
        assert "10/10" in row
        assert "score 0.1" in row
        (failed,) = [line for line in table if line.split()[:2] == ["1", "FAIL"]]
        assert "ValueError: no such luck" in failed
        above = "\n".join(lines[:title])
        assert "FAIL after" in above, "a failure stays above the table"
        assert "started on" not in above
        there.resize(20, 70)
        there.until(lambda screen: screen.visible.count("experiment mine  ") == 1)
        (tmp_path / "go").touch()
        assert there.end() == 0

    root = paths_of(tmp_path).root
    text = there.screen.text
    assert there.screen.is_cursor_shown
    assert "from the trial" not in text, "that is in its train.log"
    summary = "".join(text[text.rindex("experiment mine: ") :].splitlines())
    for said in (
        "0 running, 0 waiting, 3 complete, 1 failed, 0 pruned",
        *("first failure: trial 0001", "best trial by score: 0003", "score = 3", "+task.x=3", "took "),
        *(f"python -m hpo.analysis {root}", f"python -m hpo.dashboard {root}"),
        "train the best again: python -m hpo +experiment=mine",
    ):
        assert said in summary
    assert "hpo.resume" not in summary, "a grid that is done has nothing more"
    assert "started on" in paths_of(tmp_path).log.read_text()


def test_ctrl_c_is_told_above_the_table_and_the_way_on_below(tmp_path: Path) -> None:
    with search(tmp_path, *_SEARCH) as there:
        there.until(lambda screen: "2 running" in screen.visible)
        there.press("\x03")
        assert there.end() == 75

    text = there.screen.text
    assert "SIGINT: the search stops; 2 running trials keep a checkpoint" in text.replace("\n", "")
    assert f"continue it: python -m hpo.resume {paths_of(tmp_path).root}" in text.replace("\n", "")
    assert "Traceback" not in text
    assert there.screen.is_cursor_shown
    assert not text.rstrip().splitlines()[-1].startswith("experiment mine  ")


def test_a_window_that_is_closed_leaves_a_search_that_can_go_on(tmp_path: Path) -> None:
    with search(tmp_path, *_SEARCH) as there:
        there.until(lambda screen: "2 running" in screen.visible)
        there.hang_up()
        assert there.process.wait(60) == 75

    assert "WAITING" in states(tmp_path)
    assert "SIGHUP: the search stops" in paths_of(tmp_path).log.read_text()
    assert not paths_of(tmp_path).lock.exists()


@pytest.mark.parametrize("case", [{"TERM": "dumb"}, {"verbose": "console"}], ids=str)
def test_lines_take_the_place_of_the_table_where_they_are_wanted(tmp_path: Path, case: dict[str, str]) -> None:
    (tmp_path / "go").touch()
    arguments = [f"{key}={value}" for key, value in case.items() if key == "verbose"]
    with search(tmp_path, *_SEARCH, *arguments, TERM=case.get("TERM", "xterm")) as there:
        assert there.end() == 0

    assert "trial 0000" in there.screen.text
    assert "started on" in there.screen.text
    assert there.screen.codes == set()


def test_a_single_run_shows_how_far_it_is(tmp_path: Path) -> None:
    with search(tmp_path, "+task.x=5") as there:
        there.until(lambda screen: "10/10" in screen.visible and "score 5.1" in screen.visible)
        there.until_shown("0/1")
        (tmp_path / "go").touch()
        assert there.end() == 0

    assert "from the trial" in there.screen.text, "what a trial in this process prints stands above the table"
    assert "best trial by score: 0000" in there.screen.text


def test_a_sweeper_that_is_not_ours_has_the_table_too(tmp_path: Path) -> None:
    with search(tmp_path, "-m", "hydra/sweeper=basic", "+task.x=0,2,3") as there:
        there.until(lambda screen: "2 running" in screen.visible and "0 trials  " in screen.visible)
        (tmp_path / "go").touch()
        assert there.end() == 0

    assert "3 complete" in there.screen.text
    assert there.screen.is_cursor_shown
