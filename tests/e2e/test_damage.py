"""Experiments of which a file is damaged or gone: what reads them names it, and what can be made again is."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

import hpo
from hpo import resume as resuming
from hpo import status
from hpo.errors import ExperimentError
from hpo.paths import ExperimentPaths
from hpo.stored import time_of
from tests.conftest import run_in_process
from tests.e2e.conftest import Run, run_hpo, run_hpo_in_process
from tests.e2e.test_disks import garbage, gone, truncated
from tests.e2e.test_resume import python, study_of
from tests.projects import make_project

PROJECT = """
from hpo.records import DataSource

class Data:
    def source(self):
        return DataSource("mine", "0" * 64, has_test=True)

def run(trial, x):
    trial.log({"note": 1.0})
    for step in (1, 2):
        trial.report({"score": x * step + trial.config.random_seed % 7, "cost": float(x)}, step)
    if x == 4:
        raise ValueError("four")

def test(trial):
    return {"test_score": trial.config.task.x + 0.5}
"""
SEARCH = (
    *("+experiment=mine", "--multirun", "search_algo=grid", "+task.x=range(0,5)", "total_trials=5"),
    *("num_replicates=2", "soft_constraints=['cost <= 1']", "constraints=['task.x != 3']"),
    *("+data_config={_target_: mypkg.Data}", "+test_task={_target_: mypkg.test}", "concurrent_trials=2"),
)
ALONE = ("+experiment=mine", "+task.x=1", "experiment_id=alone")


Resume = Callable[[Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def resume(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Resume:
    """`resume(root)`: what `python -m hpo.resume` says, in this process."""
    return lambda root: run_in_process(tmp_path, [str(root)], capfd, resuming.main)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search that is over; its tests take copies."""
    folder = tmp_path_factory.mktemp("searched")
    make_project(folder, PROJECT)
    run = run_hpo(folder, *SEARCH)
    assert run.status == 0, run.stdout + run.stderr
    return run


@pytest.fixture
def paths(searched: Run, tmp_path: Path) -> ExperimentPaths:
    copy = tmp_path / "experiments" / searched.paths.root.name
    shutil.copytree(searched.paths.root, copy)
    return ExperimentPaths.of(copy)


def rows(paths: ExperimentPaths, sql: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(paths.state_db)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql)]


def told(paths: ExperimentPaths) -> dict[str, Any]:
    """Whatever the state database has that stands in the study or in the trials' files as well."""
    trials = rows(paths, "SELECT * FROM trials ORDER BY number")
    for row in trials:
        del row["created_at"]
        was_run = row["started_at"] is not None
        # files have milliseconds
        row |= {key: row[key][:23] if was_run else None for key in ("started_at", "ended_at")}
    replicates = rows(paths, "SELECT * FROM replicates ORDER BY number, replicate")
    for row in replicates:
        row["ended_at"] = row["ended_at"][:23]
    return {
        "trials": trials,
        "replicates": replicates,
        "reports": rows(
            paths, "SELECT number, replicate, step, metrics FROM reports ORDER BY number, replicate, step"
        ),
        "best": rows(paths, "SELECT state, best_trials FROM experiments"),
    }


@pytest.mark.parametrize("damage", [gone, garbage])
def test_a_state_database_that_is_made_again_has_all_that_study_and_files_tell(
    paths: ExperimentPaths, damage: Callable[[Path], None]
) -> None:
    before, since = told(paths), rows(paths, "SELECT started_at FROM experiments")[0]["started_at"]
    states = [(row["state"], row["is_feasible"], row["test_metrics"]) for row in before["trials"]]
    assert states == [
        ("COMPLETE", 1, None),
        ("COMPLETE", 1, '{"test_score": 1.5, "test_score_std": 0.0}'),
        ("COMPLETE", 0, None),
        ("PRUNED_INVALID", 1, None),
        ("FAIL", 1, None),
    ]
    damage(paths.state_db)

    done = python(paths.root.parent, "hpo.resume", str(paths.root))

    assert done.returncode == 0, done.stdout + done.stderr
    after = told(paths)
    for part in before:
        assert after[part] == before[part], part
    proposed = [trial.datetime_start.astimezone(UTC) for trial in study_of(paths).trials if trial.datetime_start]
    created = rows(paths, "SELECT created_at FROM trials ORDER BY number")
    assert [time_of(row["created_at"]) for row in created] == proposed
    (experiment,) = rows(paths, "SELECT started_at FROM experiments")
    (first,) = rows(paths, "SELECT min(created_at) AS at FROM trials")
    assert since <= experiment["started_at"] == first["at"]
    assert "on the test data" not in done.stdout.partition("best trial")[0]


@pytest.mark.parametrize("damage", [garbage, truncated, emptied, gone])
def test_a_study_that_is_damaged_or_gone_is_refused_by_its_name(
    paths: ExperimentPaths, resume: Resume, damage: Callable[[Path], None]
) -> None:
    damage(paths.study_db)
    before = files(paths.root)

    done = resume(paths.root)

    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert f"{paths.root} cannot be continued: its study, {paths.study_db.name}, " in done.stderr
    assert files(paths.root) == before


def cut_in_a_key(path: Path) -> None:
    text = path.read_text()
    path.write_text(text[: text.index("optim_metrics") + 5])


@pytest.mark.parametrize("damage", [truncated, emptied, cut_in_a_key])
def test_a_configuration_that_is_damaged_is_refused_by_its_name(
    paths: ExperimentPaths, resume: Resume, damage: Callable[[Path], None]
) -> None:
    damage(paths.config)
    before = files(paths.root)

    done = resume(paths.root)

    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert f"{paths.root} cannot be continued: {paths.config.name}" in done.stderr
    assert files(paths.root) == before


def of_status(root: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and what was said."""
    code = 0
    try:
        status.main([str(root)])
    except SystemExit as ended:
        code = int(str(ended.code))
    said = capfd.readouterr()
    return code, said.out + said.err


@pytest.mark.parametrize("name", ["state_db", "study_db", "config"])
@pytest.mark.parametrize("damage", [garbage, truncated, emptied, gone])
def test_status_and_load_name_the_file_that_is_damaged_and_touch_nothing(
    paths: ExperimentPaths, capfd: pytest.CaptureFixture[str], name: str, damage: Callable[[Path], None]
) -> None:
    path: Path = getattr(paths, name)
    damage(path)
    before = files(paths.root)

    code, said = of_status(paths.root, capfd)
    try:
        experiment = hpo.load(paths.root)
        loaded = [trial.state for trial in experiment.trials]
        assert experiment.config.experiment_id == paths.experiment_id
    except ExperimentError as error:
        loaded = str(error)

    assert code == 0
    assert path.name in said
    if name == "study_db":
        assert isinstance(loaded, list)
    else:
        assert path.name in loaded
    assert files(paths.root) == before


def test_an_empty_directory_is_no_experiment(
    tmp_path: Path, resume: Resume, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = ExperimentPaths(tmp_path, "mine")
    paths.root.mkdir()

    code, said = of_status(paths.root, capfd)
    with pytest.raises(ExperimentError, match=paths.state_db.name):
        hpo.load(paths.root)
    done = resume(paths.root)

    assert (code, paths.state_db.name in said) == (2, True)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert f"it has no {paths.config.name}" in done.stderr
    assert list(paths.root.iterdir()) == []


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A single run that is over."""
    folder = tmp_path_factory.mktemp("alone")
    make_project(folder, PROJECT)
    run = run_hpo(folder, *ALONE)
    assert run.status == 0, run.stdout + run.stderr
    return run


def refused(run: Run, capfd: pytest.CaptureFixture[str], *overrides: str) -> str:
    """What the same command says that is to continue it; nothing is touched."""
    before = files(run.paths.root)
    again = run_hpo_in_process(run.experiment_dir.parent, capfd, *overrides, "resume=true")
    assert (again.status, again.stdout, "Traceback" in again.stderr) == (2, "", False)
    assert files(run.paths.root) == before
    return again.stderr


def test_a_single_run_of_something_else_is_refused_with_the_difference(
    alone: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    said = refused(alone, capfd, *ALONE, "task.x=2")

    assert f"{alone.paths.root} cannot be continued: what its trials train may not change" in said
    assert "  task.x: 1 -> 2" in said


def test_a_single_run_whose_study_is_damaged_is_refused(alone: Run, capfd: pytest.CaptureFixture[str]) -> None:
    whole = alone.paths.study_db.read_bytes()
    try:
        garbage(alone.paths.study_db)
        said = refused(alone, capfd, *ALONE)
    finally:
        alone.paths.study_db.write_bytes(whole)

    assert f"its study, {alone.paths.study_db.name}, cannot be read" in said


def test_a_single_run_does_not_continue_a_search(searched: Run, capfd: pytest.CaptureFixture[str]) -> None:
    single = [argument for argument in SEARCH if argument not in ("--multirun", "+task.x=range(0,5)")]

    said = refused(searched, capfd, *single, "+task.x=0", f"experiment_id={searched.paths.experiment_id}")

    assert "cannot be continued alone: it is a search, add --multirun" in said
