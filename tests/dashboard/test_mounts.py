"""optuna-dashboard and TensorBoard below addresses of their own, for several experiments at once, read-only."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
import sqlalchemy as sa

from hpo.dashboard import optuna_mount
from hpo.dashboard.mounts import of_database
from hpo.dashboard.optuna_mount import read_only_storage
from hpo.dashboard.tensorboard_mount import event_folders
from hpo.errors import ExperimentError, HpoError
from hpo.experiment import sqlite
from hpo.paths import ExperimentPaths
from tests.dashboard.conftest import FIRST, SECOND, write_events
from tests.dashboard.serving import Running, ask, running


def states(folder: Path) -> dict[str, str]:
    """What every file below holds."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def asked(dashboard: Running, target: str) -> Any:
    answer = ask(dashboard.port, target)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def test_optuna_dashboard_shows_each_experiment_its_own_study(dashboard: Running) -> None:
    for experiment_id, num_trials in ((FIRST, 12), (SECOND, 5)):
        studies = asked(dashboard, f"/optuna/{experiment_id}/api/studies")["study_summaries"]
        assert [study["study_name"] for study in studies] == [experiment_id]
        study = asked(dashboard, f"/optuna/{experiment_id}/api/studies/{studies[0]['study_id']}?after=0")
        assert len(study["trials"]) == num_trials
        assert study["objective_names"] == ["val_loss"]


def test_the_address_leads_to_the_study(dashboard: Running) -> None:
    first = ask(dashboard.port, f"/optuna/{FIRST}")
    second = ask(dashboard.port, first.headers["location"])
    page = ask(dashboard.port, second.headers["location"])

    assert first.headers["location"] == f"/optuna/{FIRST}/"
    assert second.headers["location"] == f"/optuna/{FIRST}/dashboard/studies/1"
    assert page.status == 200
    assert f'src="/optuna/{FIRST}/static/bundle.js"' in page.text
    assert int(page.headers["content-length"]) == len(page.body)
    assert ask(dashboard.port, second.headers["location"], method="HEAD").status == 200


def test_its_script_knows_the_prefix_and_is_sent_once(dashboard: Running) -> None:
    target = f"/optuna/{FIRST}/static/bundle.js"
    plain = ask(dashboard.port, target)
    compressed = ask(dashboard.port, target, headers=("Accept-Encoding: gzip",))

    assert gzip.decompress(compressed.body) == plain.body
    assert b'url_prefix:"/dashboard"' not in plain.body
    assert b"`/csv/" not in plain.body
    assert b"this.baseURL}/" not in plain.body
    again = ask(dashboard.port, target, headers=(f"If-None-Match: {plain.headers['etag']}",))
    assert (again.status, again.body) == (304, b"")


def test_without_an_experiment_there_is_a_choice(dashboard: Running) -> None:
    for mount in ("/optuna", "/tensorboard", "/optuna/"):
        page = ask(dashboard.port, mount)
        assert page.status == 200
        assert all(f'{mount.rstrip("/")}/{each}/"' in page.text for each in (FIRST, SECOND))


def test_of_one_experiment_there_is_no_choice(shown: Path) -> None:
    root = ExperimentPaths(shown, FIRST).root
    with running(root) as dashboard:
        assert ask(dashboard.port, "/optuna").headers["location"] == f"/optuna/{FIRST}/"
        assert ask(dashboard.port, f"/optuna/{SECOND}/").status == 404
        assert ask(dashboard.port, "/tensorboard/").headers["location"] == f"/tensorboard/{FIRST}/"


@pytest.mark.parametrize("name", ["x", "..", "%2e%2e", ".", "%00", f"..%2f{FIRST}", "é", "<script>"])
def test_there_is_nothing_of_an_experiment_that_is_not_there(dashboard: Running, name: str) -> None:
    for mount in ("/optuna", "/tensorboard"):
        answer = ask(dashboard.port, f"{mount}/{quote(name, safe='%')}/api/studies")
        assert answer.status == 404
        assert answer.headers["content-type"].startswith("text/plain")


def test_tensorboard_shows_each_experiment_its_own_runs(dashboard: Running) -> None:
    for experiment_id in (FIRST, SECOND):
        base = f"/tensorboard/{experiment_id}"
        runs = asked(dashboard, f"{base}/data/runs")
        assert len(runs) == 3
        assert all(run.endswith("/dashboard") for run in runs)
        assert asked(dashboard, f"{base}/data/environment")["window_title"] == experiment_id
        request = quote(json.dumps([{"plugin": "scalars", "tag": "val_loss"}]))
        (series,) = asked(dashboard, f"{base}/data/plugin/timeseries/timeSeries?requests={request}")
        assert {len(points) for points in series["runToSeries"].values()} == {5}


def test_tensorboard_is_told_to_ask_by_get_alone(dashboard: Running) -> None:
    start = ask(dashboard.port, f"/tensorboard/{FIRST}/?darkMode=true")

    assert start.headers["location"] == f"/tensorboard/{FIRST}/?tensorboardColab=true&darkMode=true"
    page = ask(dashboard.port, start.headers["location"])
    assert page.status == 200
    assert "tf-tensorboard" in page.text or "tb-webapp" in page.text


def test_fonts_come_from_the_package(dashboard: Running) -> None:
    font = ask(dashboard.port, "/font-roboto/RxZJdnzeo3R5zSexge8UUZBw1xU1rKptJj_0jans920.woff2")

    assert (font.status, font.headers["content-type"], font.body[:4]) == (200, "font/woff2", b"wOF2")
    assert ask(dashboard.port, "/font-roboto/../index.html").status == 404


def test_all_of_it_is_one_process_with_one_port(dashboard: Running) -> None:
    ask(dashboard.port, f"/tensorboard/{FIRST}/data/runs")
    process = psutil.Process(dashboard.process.pid)

    listening = [each.laddr.port for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
    assert listening == [dashboard.port]
    assert process.children() == []


CHANGES = [
    ("DELETE", "api/studies/1", "{}"),
    ("POST", "api/studies", '{"study_name": "new", "directions": ["minimize"]}'),
    ("POST", "api/studies/1/rename", '{"study_name": "new"}'),
    ("PUT", "api/studies/1/note", '{"version": 1, "body": "x"}'),
    ("PUT", "api/studies/1/1/note", '{"version": 1, "body": "x"}'),
    ("POST", "api/trials/1/tell", '{"state": "fail"}'),
    ("POST", "api/trials/1/user-attrs", '{"user_attrs": {"a": 1}}'),
    ("POST", "api/artifacts/1", '{"file": "data:,x", "filename": "x"}'),
    ("POST", "incompatible-rdb-schema", "{}"),
    ("POST", "api/llm/trial_filter_query", "{}"),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_nothing_that_would_change_a_study_is_passed_on(
    dashboard: Running, shown: Path, method: str, path: str, body: str
) -> None:
    before = states(shown)

    refused = ask(
        dashboard.port,
        f"/optuna/{FIRST}/{path}",
        method=method,
        headers=("Content-Type: application/json",),
        body=body.encode(),
    )

    assert refused.status == 405
    assert json.loads(refused.body)["reason"].startswith("The dashboard only reads")
    assert states(shown) == before


def test_reading_leaves_every_file_as_it_was(dashboard: Running, shown: Path) -> None:
    before = states(shown)
    for target in (
        "api/studies",
        "api/studies/1?after=0",
        "csv/1",
        "api/studies/1/param_importances",
        "dashboard",
    ):
        assert ask(dashboard.port, f"/optuna/{FIRST}/{target}").status == 200
    ask(dashboard.port, f"/tensorboard/{FIRST}/data/runs")

    assert states(shown) == before


@pytest.mark.parametrize("is_written", [False, True], ids=["over", "while-it-is-written"])
def test_the_storage_itself_cannot_write(shown: Path, tmp_path: Path, is_written: bool) -> None:
    path = tmp_path / "study.db"
    shutil.copy(ExperimentPaths(shown, FIRST).study_db, path)
    with closing(sqlite.WalConnection(str(path))) as writer:
        writer.execute("SELECT 1 FROM studies").fetchone()
        if not is_written:
            writer.close()
        storage = read_only_storage(path)
        writes = [
            lambda: storage.delete_study(1),
            lambda: storage.create_new_study([], "new"),
            lambda: storage.set_study_user_attr(1, "a", 1),
            lambda: storage.set_study_system_attr(1, "a", 1),
        ]
        for write in writes:
            with pytest.raises(Exception) as refused:
                write()
            assert "readonly" in str(of_database(refused.value))

        assert len(storage.get_all_trials(1)) == 12


def test_a_study_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="is not there: the experiment has no study"):
        read_only_storage(tmp_path / "study.db")
    (tmp_path / "study.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(ExperimentError, match="cannot be read now: file is not a database"):
        read_only_storage(tmp_path / "study.db")


def test_a_reader_gives_up_after_a_while(shown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_mount, "_MAX_READING_S", -1.0)
    monkeypatch.setattr(optuna_mount, "_STEPS_BETWEEN_LOOKS", 1)

    with pytest.raises(ExperimentError, match="cannot be read now: interrupted"):
        read_only_storage(ExperimentPaths(shown, FIRST).study_db)


def test_no_connection_outlives_its_question(shown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = read_only_storage(ExperimentPaths(shown, FIRST).study_db)
    storage.get_all_trials(1)

    assert isinstance(storage.engine.pool, sa.pool.NullPool)
    path = str(ExperimentPaths(shown, FIRST).study_db)
    assert path not in {file.path for file in psutil.Process().open_files()}


def test_another_version_of_the_script_is_told_and_not_shown_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import optuna_dashboard

    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "bundle.js").write_text('fetch("/api/studies")')
    monkeypatch.setattr(optuna_dashboard, "__file__", str(tmp_path / "__init__.py"))
    optuna_mount.bundle.cache_clear()

    with pytest.raises(HpoError, match="cannot be shown below an address of its own"):
        optuna_mount.bundle()


def test_events_behind_a_link_are_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    root = tmp_path / "experiment_a"
    (root / "0000" / "dashboard").mkdir(parents=True)
    (root / "0001").mkdir()
    for folder in (outside, root / "0000" / "dashboard"):
        write_events(folder)
    (root / "0001" / "dashboard").symlink_to(outside)
    (root / "up").symlink_to("..")
    (root / "0002").mkdir()
    (root / "0002" / "events.out.tfevents.1").symlink_to(next(outside.iterdir()))

    assert list(event_folders(root)) == [root / "0000" / "dashboard"]
