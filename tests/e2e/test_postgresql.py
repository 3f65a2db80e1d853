"""Whole experiments whose databases a real PostgreSQL has, one of several in it."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from hpo.paths import ExperimentPaths
from hpo.saved import SavedExperiment
from tests.e2e.conftest import command, environment, run_hpo
from tests.e2e.test_resume import python, running, wait_for, wait_until
from tests.postgresql import PASSWORD, Server, values_of_study, wait_until_gone
from tests.projects import make_project

pytestmark = pytest.mark.slow

SEARCH = (
    "+experiment=quadratic",
    "--multirun",
    "total_trials=4",
    "tensorboard=false",
    "hydra/sweeper/sampler=random",
)


def in_it(url: str) -> tuple[str, str]:
    return f"state_db={url}", f"study_db={url}"


def test_a_search_is_resumed_and_shown_and_no_file_has_the_password(
    tmp_path: Path, database: str, postgresql: Server
) -> None:
    run = run_hpo(tmp_path, *SEARCH, *in_it(database))
    assert run.status == 0, run.stderr
    assert not list(run.paths.root.glob("*.db*"))
    refused = run_hpo(tmp_path, *SEARCH, f"experiment_id={run.paths.experiment_id}", "resume=true")
    assert refused.status == 2
    assert "python -m hpo.migrate" in refused.stderr

    resumed = python(tmp_path, "hpo.resume", str(run.paths.root), "total_trials=6")
    assert resumed.returncode == 0, resumed.stderr

    told = python(tmp_path, "hpo.status", str(run.paths.root))
    assert "6 trials, total_trials=6: 6 COMPLETE" in told.stdout, told.stderr
    saved = SavedExperiment.open(run.paths.root)
    assert [trial.number for trial in saved.trials] == list(range(6))
    assert values_of_study(database, saved.experiment_id) == [trial.value for trial in saved.trials]
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


def test_a_url_that_a_variable_holds_reaches_no_file_and_no_trial(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("MY_DATABASE", database.replace("@", f":{PASSWORD}@"))
    make_project(
        tmp_path,
        """
import os

def run(trial, x):
    assert not any(map(os.environ.get, ("MY_DATABASE", "PGPASSWORD", "HPO_DB_PASSWORD")))
    with open("/proc/self/environ") as environment:
        assert "MY_DATABASE" not in environment.read()
    return {"score": x}
""",
    )
    search = ("+experiment=mine", "--multirun", "+task.x=interval(0,1)", "hydra/sweeper/sampler=random")
    run = run_hpo(tmp_path, *search, "total_trials=2", *in_it("${oc.env:MY_DATABASE}"))
    assert run.status == 0, run.stdout + run.stderr

    resumed = python(tmp_path, "hpo.resume", str(run.paths.root), "total_trials=3")

    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert len(SavedExperiment.open(run.paths.root).trials) == 3
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


def test_an_experiment_of_another_directory_is_never_taken_for_this_one(tmp_path: Path, database: str) -> None:
    given = (*SEARCH, *in_it(database), "experiment_id=mine", "total_trials=1")
    (tmp_path / "other").mkdir()
    first = run_hpo(tmp_path, *given)
    assert first.status == 0, first.stderr
    before = SavedExperiment.open(first.paths.root).trials

    for place in in_it(database):
        second = run_hpo(tmp_path / "other", *(text for text in given if text not in in_it(database)), place)

        assert second.status == 2
        assert "experiment_id=mine is taken in " in second.stderr
        assert "Traceback" not in second.stderr
        assert not second.experiment_dir.exists()
    assert SavedExperiment.open(first.paths.root).trials == before


def test_eight_experiments_at_once_keep_apart(tmp_path: Path, database: str, postgresql: Server) -> None:
    names = [f"number_{index}" for index in range(8)]
    processes = [
        subprocess.Popen(
            command(
                *SEARCH,
                *in_it(database),
                *(f"experiment_id={name}", f"random_seed={index}", "concurrent_trials=1"),
                *(f"experiment_dir={tmp_path}", "verbose=silent"),
            ),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index, name in enumerate(names)
    ]
    for process in processes:
        said, _ = process.communicate(timeout=180)
        assert process.returncode == 0, said

    in_database = database.rpartition("/")[2]
    counts = postgresql.sql("SELECT experiment_id, COUNT(*) FROM hpo.trials GROUP BY 1 ORDER BY 1", in_database)
    assert counts.splitlines() == [f"{name}|4" for name in names]
    assert postgresql.sql("SELECT study_name FROM studies ORDER BY 1", in_database).splitlines() == names
    values = []
    for name in names:
        trials = SavedExperiment.open(ExperimentPaths(tmp_path, name).root).trials
        assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
        values.append(json.dumps([trial.value for trial in trials]))
    assert len(set(values)) == len(names)


_WAITING = """
import time
from pathlib import Path

def run(trial, x):
    for step in range(1, 6):
        while step > 2 and not Path("go").exists() and not trial.must_leave():
            time.sleep(0.01)
        trial.report({"score": x + step}, step)
"""
_SEARCH = (
    *("+experiment=mine", "--multirun", "+task.x=interval(0,1)", "hydra/sweeper/sampler=random"),
    "total_trials=2",
)


def wait_until_reported(process: subprocess.Popen[str], server: Server, url: str) -> None:
    """Until both trials have reported twice, and wait: no transaction is under way any more."""
    name = url.rpartition("/")[2]
    wait_until(process, lambda: server.sql("SELECT count(*) FROM hpo.reports", name) == "4")


def test_a_server_that_dies_leaves_an_experiment_that_goes_on_when_it_is_back(
    tmp_path: Path, database: str, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(tmp_path, _WAITING)
    with running(tmp_path, *_SEARCH, *in_it(database), "db_timeout_s=1") as process:
        wait_for(process, " 2 running")
        wait_until_reported(process, postgresql, database)
        (root,) = (tmp_path / "experiments").iterdir()
        before = python(tmp_path, "hpo.status", str(root)).stdout
        postgresql.stop()
        try:
            wait_until_gone(postgresql)
            (tmp_path / "go").touch()
            said = process.communicate(timeout=120)[0]
            with_copy = python(tmp_path, "hpo.status", str(root)).stdout
            monkeypatch.setenv("HPO_CACHE_DIR", str(tmp_path / "another_cache"))
            without = python(tmp_path, "hpo.status", str(root)).stdout
        finally:
            postgresql.start()
    assert process.returncode == 75, said
    assert "does not answer" in said
    assert "Traceback" not in said
    assert f"experiment {root.name.removeprefix('experiment_')}: running: " in before
    assert ": its database does not answer\n  what is shown was there at " in with_copy
    assert "2 RUNNING" in with_copy
    assert ": the state database cannot be read: state_db=postgresql" in without
    for told in (with_copy, without):
        assert "scheduler died" not in told
        assert "hpo.resume" not in told

    resumed = python(tmp_path, "hpo.resume", str(root))

    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    trials = SavedExperiment.open(root).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 2


def test_a_server_that_is_back_in_time_is_waited_for_and_nothing_is_lost(
    tmp_path: Path, database: str, postgresql: Server
) -> None:
    make_project(tmp_path, _WAITING)
    with running(tmp_path, *_SEARCH, *in_it(database), "stall_timeout_s=60") as process:
        wait_for(process, " 2 running")
        wait_until_reported(process, postgresql, database)
        postgresql.stop()
        try:
            wait_until_gone(postgresql)
            (tmp_path / "go").touch()
            assert "60 s at most (db_timeout_s)" in wait_for(process, "it is waited for")
        finally:
            postgresql.start()
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    (root,) = (tmp_path / "experiments").iterdir()
    saved = SavedExperiment.open(root)
    assert [trial.state.name for trial in saved.trials] == ["COMPLETE"] * 2
    assert [list(saved.reports(number).step) for number in (0, 1)] == [[1, 2, 3, 4, 5]] * 2
    assert "the database answers again" in (root / "mp.log").read_text()


def test_a_signal_ends_the_wait_for_a_server(tmp_path: Path, database: str, postgresql: Server) -> None:
    make_project(tmp_path, _WAITING)
    with running(tmp_path, *_SEARCH, *in_it(database)) as process:
        wait_for(process, " 2 running")
        wait_until_reported(process, postgresql, database)
        postgresql.stop()
        try:
            wait_until_gone(postgresql)
            (tmp_path / "go").touch()
            wait_for(process, "it is waited for")
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=30)[0]
        finally:
            postgresql.start()
    assert process.returncode == 75, said
    assert "does not answer" in said
    assert "Traceback" not in said


def test_another_sweeper_tells_of_a_server_that_dies_in_one_message(
    tmp_path: Path, database: str, postgresql: Server
) -> None:
    make_project(tmp_path, _WAITING)
    search = ("+experiment=mine", "--multirun", "+task.x=interval(0,1)", "hydra/sweeper=optuna", "total_trials=2")
    with running(tmp_path, *search, f"state_db={database}", "db_timeout_s=0") as process:
        wait_for(process, "1 running")
        postgresql.stop()
        try:
            wait_until_gone(postgresql)
            (tmp_path / "go").touch()
            said = process.communicate(timeout=60)[0]
        finally:
            postgresql.start()
    assert process.returncode == 75, said
    assert "does not answer" in said
    assert "Traceback" not in said
