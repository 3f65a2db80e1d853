"""An experiment's databases move to a server and back, and nothing is lost or overwritten."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hpo.errors import ConfigError, ExperimentError
from hpo.experiment import mirror
from hpo.experiment.lock import SchedulerLock
from hpo.migrate import main, migrate
from hpo.paths import ExperimentPaths
from hpo.saved import SavedExperiment
from hpo.stored import readable
from tests.postgresql import PASSWORD, Server, values_of_study
from tests.synthetic import make_experiment

_TABLES = {
    "state": {"experiments": "*", "trials": "*", "reports": "number, replicate, step, metrics, time"},
    "study": {
        "trials": "number, state, datetime_start, datetime_complete",
        "trial_params": "param_name, param_value, distribution_json",
        "trial_values": "objective, value, value_type",
        "study_user_attributes": "key, value_json",
    },
}


@pytest.fixture(autouse=True)
def _always_new(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No copy of a server's database is taken for new because it was made within the second."""
    monkeypatch.setattr(mirror, "_PERIOD_S", 0.0)
    monkeypatch.setattr(mirror, "_MAX_SHARE", 1e9)
    return


@pytest.fixture
def paths(tmp_path: Path) -> ExperimentPaths:
    return ExperimentPaths.of(make_experiment(tmp_path / "experiments", 30, num_reports=2, num_directories=2))


def content(paths: ExperimentPaths) -> dict[str, list[tuple[object, ...]]]:
    """All rows, without the numbers that a database gives itself."""
    found = {}
    for which, database in (("state", paths.state_db), ("study", paths.study_db)):
        with closing(sqlite3.connect(readable(database))) as connection:
            for table, columns in _TABLES[which].items():
                rows = connection.execute(f"SELECT {columns} FROM {table}").fetchall()
                found[f"{which}.{table}"] = sorted(rows, key=repr)
    return found


def test_all_rows_go_to_a_server_and_come_back(paths: ExperimentPaths, database: str, postgresql: Server) -> None:
    before = content(paths)
    as_it_was = paths.config.read_text()

    said = migrate(paths.root, {"state_db": database, "study_db": database})

    name = database.rpartition("/")[2]
    assert "30 trials" in said[0]
    assert content(paths) == before
    assert not paths.state_db.exists()
    assert paths.earlier_config(1).read_text() == as_it_was
    assert postgresql.sql("SELECT COUNT(*) FROM hpo.trials", name) == "30"
    assert len(SavedExperiment.open(paths.root).trials) == 30
    assert len(values_of_study(database, paths.experiment_id)) == 30

    migrate(paths.root, {"state_db": None, "study_db": None})

    assert paths.state_db.is_file()
    assert content(paths) == before
    assert postgresql.sql("SELECT COUNT(*) FROM hpo.trials", name) == "0"
    assert postgresql.sql("SELECT COUNT(*) FROM trials", name) == "0"
    assert sorted(path.name for path in paths.root.glob("*.moved_*")) == [
        f"{paths.study_db.name}.moved_1",
        f"{paths.state_db.name}.moved_1",
    ]


def test_one_database_can_move_alone_and_a_second_time_is_nothing_to_do(
    paths: ExperimentPaths, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(paths)

    for _ in range(2):
        main([str(paths.root), f"study_db={database}"])

    assert "Nothing is to be moved" in capsys.readouterr().out
    assert paths.state_db.is_file()
    assert not paths.study_db.exists()
    assert content(paths) == before


def test_what_is_at_the_other_place_already_is_never_overwritten(
    paths: ExperimentPaths, database: str, postgresql: Server
) -> None:
    kept = paths.state_db.read_bytes()
    migrate(paths.root, {"state_db": database})
    paths.state_db.write_bytes(kept)

    with pytest.raises(ExperimentError, match="is there already: nothing is overwritten"):
        migrate(paths.root, {"state_db": None})

    assert paths.state_db.read_bytes() == kept
    # and a server that has an experiment of that name
    text = paths.config.read_text()
    paths.config.write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("state_db:")) + "\n"
    )
    with pytest.raises(ExperimentError, match=f"has {paths.experiment_id} already: nothing is overwritten"):
        migrate(paths.root, {"state_db": database})
    assert postgresql.sql("SELECT COUNT(*) FROM hpo.trials", database.rpartition("/")[2]) == "30"


def test_what_fails_half_way_leaves_both_as_they_were(
    paths: ExperimentPaths, database: str, postgresql: Server
) -> None:
    kept = paths.study_db.read_bytes()
    paths.study_db.write_bytes(b"junk" * 1000)
    with pytest.raises(ExperimentError, match=r"study_db cannot be moved from .*_optuna.db to "):
        migrate(paths.root, {"state_db": database, "study_db": database})
    assert postgresql.sql("SELECT COUNT(*) FROM hpo.trials", database.rpartition("/")[2]) == "0"
    assert not paths.earlier_config(1).exists()
    paths.study_db.write_bytes(kept)
    before = content(paths)

    migrate(paths.root, {"state_db": database, "study_db": database})

    # and back, where the server has lost a table
    postgresql.sql("ALTER TABLE trial_params RENAME TO elsewhere", database.rpartition("/")[2])
    with pytest.raises(ExperimentError):
        migrate(paths.root, {"state_db": None, "study_db": None})
    assert not paths.state_db.exists()
    assert not paths.study_db.exists()
    postgresql.sql("ALTER TABLE elsewhere RENAME TO trial_params", database.rpartition("/")[2])
    migrate(paths.root, {"state_db": None, "study_db": None})
    assert content(paths) == before


def test_the_url_may_be_a_variable_of_the_environment(
    paths: ExperimentPaths, database: str, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_DATABASE", database.replace("@", f":{PASSWORD}@"))
    before = content(paths)

    said = migrate(paths.root, {"state_db": "${oc.env:MY_DATABASE}"})

    assert PASSWORD not in "".join(said)
    assert PASSWORD not in paths.config.read_text()
    assert content(paths) == before
    with pytest.raises(ConfigError, match="MY_OTHER"):
        migrate(paths.root, {"state_db": "${oc.env:MY_OTHER}"})


def test_an_experiment_at_work_is_not_moved(paths: ExperimentPaths, database: str) -> None:
    lock = SchedulerLock(paths.lock)
    try:
        with pytest.raises(ExperimentError, match="has a scheduler already"):
            migrate(paths.root, {"state_db": database})
    finally:
        lock.release()
    assert paths.state_db.is_file()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nowhere"], "nowhere is no experiment"),
        (["{root}", "storage=x"], "storage=x is none of state_db=..., study_db=..."),
        (["{root}", "state_db="], "state_db= is none of"),
        (["{root}", "state_db=nonsense"], "state_db=nonsense is no URL of a database"),
        (["{root}", "state_db=postgresql://me:geheim@host/d"], "state_db holds a password"),
    ],
)
def test_mistakes_are_one_message_and_move_nothing(
    paths: ExperimentPaths, capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    files = {path: path.stat().st_mtime_ns for path in paths.root.iterdir()}

    with pytest.raises(SystemExit) as ended:
        main([text.format(root=paths.root) for text in given])

    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.startswith("hpo: ")
    assert said in told
    assert "geheim" not in told
    assert {path: path.stat().st_mtime_ns for path in paths.root.iterdir()} == files
