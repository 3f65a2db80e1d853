"""Snapshots from files alone, and `python -m hpo.status` that prints and follows them."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from hpo.errors import ExperimentError
from hpo.paths import ExperimentPaths
from hpo.progress.saved import newest_warning, snapshot_of
from hpo.records import State
from tests.progress.terminals import terminal
from tests.projects import make_project
from tests.synthetic import make_experiment


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_experiment(tmp_path_factory.mktemp("made"), 60, num_reports=4)


def sql(directory: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(ExperimentPaths.of(directory).state_db)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def status(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpo.status", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_counts_best_and_the_last_ended_are_those_of_the_database(made: Path) -> None:
    taken = snapshot_of(made, said="", is_running=False, max_running=10)

    counts = dict(sql(made, "SELECT state, count(*) FROM trials GROUP BY state"))
    assert {state.value: count for state, count in taken.standing.counts.items()} == counts
    best = sql(
        made,
        "SELECT trial_id, json_extract(metrics, '$.val_loss') FROM trials WHERE state = 'COMPLETE' "
        "ORDER BY 2 LIMIT 1",
    )
    assert taken.standing.best is not None
    assert (taken.standing.best.trial_id, taken.standing.best.value) == best[0]
    ended = sql(
        made, "SELECT number FROM trials WHERE state != 'RUNNING' ORDER BY ended_at DESC, number DESC LIMIT 5"
    )
    assert [(trial.number,) for trial in taken.ended] == ended
    assert taken.left_s is None


def test_a_running_trial_has_what_it_reported_and_what_it_logged_since(tmp_path: Path) -> None:
    directory = make_experiment(tmp_path, 8, num_reports=4)
    now = time.time()
    (number, trial_id), *_ = sql(directory, "SELECT number, trial_id FROM trials ORDER BY number")
    utc = "strftime('%Y-%m-%d %H:%M:%f', ?, 'unixepoch')"
    sql(
        directory,
        f"UPDATE trials SET state = 'RUNNING', ended_at = NULL, started_at = {utc}, pid = ?, host = ?, device = ? "
        "WHERE number = ?",
        *(now - 100.0, os.getpid(), socket.gethostname(), "cuda:3", number),
    )
    sql(directory, "DELETE FROM reports WHERE number = ?", number)
    for step, at in ((100, now - 60.0), (200, now - 40.0)):
        metrics = {
            "val_loss": 0.5,
            "current_iteration": step,
            "total_steps": 1000,
            "current_epoch": 1,
            "epochs": 10,
        }
        (experiment_id,) = sql(directory, "SELECT experiment_id FROM experiments")[0]
        sql(
            directory,
            "INSERT INTO reports (experiment_id, number, replicate, step, metrics, time) "
            f"VALUES (?, ?, 0, ?, ?, {utc})",
            *(experiment_id, number, step, json.dumps(metrics), at),
        )
    results = ExperimentPaths.of(directory).trial(str(trial_id)).results
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps([{"train_loss": 0.25, "val_loss": float("nan"), "current_iteration": 400}]))
    os.utime(results, (now - 20.0, now - 20.0))

    taken = snapshot_of(directory, said="", is_running=True, max_running=10)

    trial = next(trial for trial in taken.running if trial.number == number)
    assert (trial.device, trial.iteration, trial.iterations, trial.epochs) == ("cuda:3", 400, 1000, 10)
    assert trial.speed == pytest.approx(10.0, rel=0.01)
    assert (trial.metrics["val_loss"], trial.metrics["train_loss"]) == (0.5, 0.25)
    if sys.platform == "linux":
        assert trial.memory is not None
    assert len(snapshot_of(directory, said="", is_running=True, max_running=0).running) == 0


def test_of_a_scheduler_that_died_the_time_ends_with_what_it_wrote_last(tmp_path: Path) -> None:
    directory = make_experiment(tmp_path, 12, num_reports=2, num_running=2)
    ((began, ended),) = sql(directory, _TIMES)
    sql(directory, "UPDATE experiments SET started_at = (SELECT min(started_at) FROM trials)")

    taken = snapshot_of(directory, said="", is_running=False, max_running=10)

    assert isinstance(began, int)
    assert isinstance(ended, int)
    assert (taken.elapsed_s, taken.time) == (pytest.approx(ended - began, abs=2), pytest.approx(ended, abs=2))
    assert taken.num_running == 2


def test_the_newest_warning_is_the_last_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert newest_warning(log) is None
    log.write_text("2026-03-01 09:00:00,000 INFO a WARNING of another kind\n")
    assert newest_warning(log) is None
    log.write_text(
        "x"
        * 100_000
        + "\n2026-03-01 09:00:00,000 WARNING first\n2026-03-01 09:00:01,500 WARNING trial 7 FAIL: ä\n"
        "2026-03-01 09:00:02,000 INFO more\nnothing of it"
    )

    found = newest_warning(log)

    assert found is not None
    assert found.text == "trial 7 FAIL: ä"
    assert datetime.fromtimestamp(found.time).second == 1  # local, as the log


def test_status_prints_the_table_and_the_words(made: Path) -> None:
    done = status(made)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"experiment {ExperimentPaths.of(made).experiment_id}")
    assert max(map(len, lines[:8])) <= 100
    assert any(line.split()[:2] == ["trial", "epoch"] or line.split()[:1] == ["trial"] for line in lines)
    assert "\x1b" not in done.stdout
    assert lines[-1].startswith("  go on with more trials: python -m hpo.resume ")


def test_a_database_that_is_damaged_is_told_in_words_alone(tmp_path: Path) -> None:
    directory = make_experiment(tmp_path, 3, num_reports=2)
    ExperimentPaths.of(directory).state_db.write_bytes(b"nothing of a database" * 100)

    done = status(directory)
    followed = status(directory, "--watch")

    assert (done.returncode, done.stderr) == (0, "")
    assert "resuming makes it again from the study" in done.stdout
    assert followed.returncode == 2
    assert "cannot be read" in followed.stderr
    assert "Traceback" not in followed.stderr
    with pytest.raises(ExperimentError, match="cannot be read"):
        snapshot_of(directory, said="", is_running=False, max_running=3)


@pytest.mark.parametrize(
    "arguments", [["--watch"], ["x", "--follow"], ["x", "--watch", "0"], ["x", "--watch", "a"]]
)
def test_what_it_does_not_know_is_told_with_the_usage(arguments: list[str]) -> None:
    done = status(*arguments)

    assert done.returncode == 2
    assert "usage: python -m hpo.status DIR [--watch [SECONDS]]" in done.stdout


def test_following_what_is_over_ends_at_once(made: Path) -> None:
    done = status(made, "--watch", "100")

    assert (done.returncode, done.stderr) == (0, "")
    assert "go on with more trials:" in done.stdout


@pytest.fixture
def search(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[bytes], Path]]]:
    """Starts a search of trials that wait until a file is there."""
    make_project(tmp_path, _TASK)
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> tuple[subprocess.Popen[bytes], Path]:
        arguments = ("+experiment=mine", "-m", "experiment_id=mine", "experiment_dir=experiments", *_SEARCH)
        process = subprocess.Popen(
            [sys.executable, "-m", "hpo", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        processes.append(process)
        assert process.stdout is not None
        assert any(b"trial 0001" in line for line in process.stdout)
        return process, tmp_path / "experiments" / "experiment_mine"

    yield start
    for process in processes:
        process.kill()
        process.communicate()


_TIMES = (
    "SELECT CAST(strftime('%s', min(started_at)) AS INTEGER), CAST(strftime('%s', max(ended_at)) AS INTEGER) "
    "FROM trials"
)
_SEARCH = ("+task.x=range(0,4)", "search_algo=grid", "concurrent_trials=2")
_TASK = """
import os, time
def run(trial, x):
    trial.report({"score": x, "current_iteration": 1, "total_steps": 2}, step=1)
    while not os.path.exists("go") and not trial.should_stop():
        time.sleep(0.01)
    return {"score": x}
"""


def test_a_search_is_followed_to_its_end(search: Callable[[], tuple[subprocess.Popen[bytes], Path]]) -> None:
    process, directory = search()
    command = [sys.executable, "-m", "hpo.status", str(directory), "--watch", "0.05"]
    with terminal(command) as there:
        there.until(lambda screen: "2 running" in screen.text and screen.text.count("1/2") == 2)
        assert there.screen.text.count("experiment mine") == 1
        assert "score 1" in there.screen.text
        (directory.parents[1] / "go").touch()
        there.until_shown("4 COMPLETE")
        assert there.end() == 0
        assert process.wait(60) == 0

    lines = there.screen.text.splitlines()
    assert lines[0].startswith("experiment mine: COMPLETE")
    assert lines[1].startswith("━")
    assert "4/4" in lines[1]
    assert "best score 3" in lines[2]
    assert there.screen.is_cursor_shown


def test_following_ends_with_ctrl_c_and_the_search_goes_on(
    search: Callable[[], tuple[subprocess.Popen[bytes], Path]],
) -> None:
    process, directory = search()
    for columns in (80, 120):
        with terminal(
            [sys.executable, "-m", "hpo.status", str(directory), "--watch", "0.05"], columns=columns
        ) as there:
            there.until(lambda screen: "2 running" in screen.text)
            there.press("\x03")
            assert there.end() == 0
        assert "Traceback" not in there.screen.text
        assert there.screen.is_cursor_shown
        assert "mine: running: process" in there.screen.text
    assert process.poll() is None


def test_whoever_stops_reading_ends_it_too(search: Callable[[], tuple[subprocess.Popen[bytes], Path]]) -> None:
    _, directory = search()
    command = f"set -o pipefail; {sys.executable} -m hpo.status {directory} --watch 0.05 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("experiment mine")


def test_of_a_search_whose_scheduler_died_it_says_so(
    search: Callable[[], tuple[subprocess.Popen[bytes], Path]],
) -> None:
    process, directory = search()
    process.send_signal(signal.SIGKILL)
    process.wait()

    done = status(directory, "--watch")

    assert done.returncode == 0
    assert "experiment mine: not running: its scheduler died" in done.stdout
    assert f"continue it: python -m hpo.resume {directory}" in done.stdout
    assert State.RUNNING.value in done.stdout


def test_metrics_that_are_not_finite_and_a_search_that_ended_early_are_shown(tmp_path: Path) -> None:
    made = make_experiment(tmp_path, 8, num_reports=2)
    sql(made, 'UPDATE trials SET metrics = \'{"val_loss": "nan", "val_accuracy": "inf"}\'')
    sql(made, "UPDATE experiments SET config = json_set(config, '$.total_trials', 100)")

    done = status(made)

    assert (done.returncode, done.stderr) == (0, "")
    assert "val_loss nan" in done.stdout
    taken = snapshot_of(made, said="", is_running=False, max_running=1)
    assert taken.total == taken.standing.num_done == 8
    assert taken.standing.best is None
