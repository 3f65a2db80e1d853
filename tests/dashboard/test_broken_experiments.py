"""Experiments that are damaged, held, endless or hostile: their page says what is wrong, the others still work."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpo.dashboard.app import create_app
from hpo.paths import ExperimentPaths
from hpo.resolved import to_json
from tests.dashboard.reading import Page
from tests.dashboard.serving import Answer, ask, served
from tests.synthetic import make_experiment

SOUND, OTHER = "5e9d_0001", "5e9d_0002"
CHARTS = ("history", "curves", "parallel", "timeline")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'"


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    make_experiment(folder, 12, experiment_id=SOUND, num_directories=2)
    make_experiment(folder, 3, experiment_id=OTHER, num_directories=1)
    return folder


@pytest.fixture
def paths(templates: Path, tmp_path: Path) -> ExperimentPaths:
    """An experiment to be damaged, beside one that stays sound."""
    shutil.copytree(templates, tmp_path / "shown")
    return ExperimentPaths(tmp_path / "shown", SOUND)


@pytest.fixture
def port(paths: ExperimentPaths) -> Iterator[int]:
    with served(create_app(paths.experiment_dir)) as port:
        yield port


@contextmanager
def writing(paths: ExperimentPaths) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(paths.state_db)) as connection:
        yield connection
        connection.commit()


def told_of(port: int) -> str:
    """What the pages of the damaged experiment say; the other one is shown all the same."""
    answer = ask(port, f"/experiments/{SOUND}")
    home = Page(ask(port, "/").text)
    assert answer.status == 200
    assert ask(port, f"/experiments/{SOUND}/trials/0").status == 200
    assert any(row[1] == "complete" and OTHER in row[0] for row in home.rows)
    assert any(row[1] == "cannot be read" and SOUND in row[0] for row in home.rows)
    for kind in CHARTS:
        found = ask(port, f"/experiments/{SOUND}/data/{kind}")
        assert (found.status, "error" in json.loads(found.body)) == (503, True)
    assert "3 / 3" in Page(ask(port, f"/experiments/{OTHER}").text).text
    return Page(answer.text).text


def everything(port: int, number: int = 0) -> list[Answer]:
    """All that the dashboard gives of the experiment."""
    base = f"/experiments/{SOUND}"
    pages = ["/", base, f"{base}/trials/{number}", f"{base}/compare?trial={number}&trial=1"]
    more = [f"{base}/data/{kind}" for kind in CHARTS] + [f"{base}/trials/{number}/data/curves"]
    found = [ask(port, path) for path in pages + more]
    assert [answer.status for answer in found] == [200] * len(found)
    for answer in found[len(pages) :]:
        json.loads(answer.body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return found


def test_a_state_database_of_other_bytes_is_told(paths: ExperimentPaths, port: int) -> None:
    paths.state_db.write_bytes(b"no database" * 1000)

    told = told_of(port)
    assert "cannot be read: file is not a database" in told
    assert "python -m hpo.resume" in told


def test_a_state_database_with_a_damaged_page_is_told(paths: ExperimentPaths, port: int) -> None:
    content = bytearray(paths.state_db.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    paths.state_db.write_bytes(content)

    assert "cannot be read" in told_of(port)


def test_a_state_database_that_is_gone_or_empty_is_told(paths: ExperimentPaths, port: int) -> None:
    paths.state_db.unlink()
    assert "is not there" in told_of(port)
    paths.state_db.touch()
    assert "cannot be read: no such table" in told_of(port)


def test_what_hpo_does_not_write_into_a_state_database_is_told(paths: ExperimentPaths, port: int) -> None:
    with writing(paths) as connection:
        connection.execute("UPDATE trials SET params = '{\"x\": ' WHERE number = 3")
        connection.execute("UPDATE experiments SET optim_metrics = '[1'")

    assert "holds what hpo does not write" in told_of(port)


def test_a_state_database_that_a_writer_holds_is_told_and_others_do_not_wait(
    paths: ExperimentPaths, port: int
) -> None:
    with closing(sqlite3.connect(paths.state_db, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("UPDATE trials SET device = 'held'")
        ended: list[str] = []

        def held() -> None:
            ask(port, f"/experiments/{SOUND}")
            ended.append("held")

        threads = [threading.Thread(target=held) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert ask(port, f"/experiments/{OTHER}").status == 200
        ended.append("other")
        for thread in threads:
            thread.join()
        assert ended[0] == "other"
        assert "holds its state database" in (told := told_of(port))
        assert "tries again by itself" in told
        connection.execute("ROLLBACK")
    assert "complete" in Page(ask(port, f"/experiments/{SOUND}").text).text


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2",
        "- a list",
        "!!python/object/apply:os.system ['touch owned']",
        "a: &a [x]\nb: *c",
        "\x00\x01",
    ],
    ids=["cut", "list", "python", "alias", "bytes"],
)
def test_a_configuration_that_cannot_be_read_is_told_on_its_trials(
    paths: ExperimentPaths, port: int, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    paths.config.write_text(text, encoding="utf-8")

    page = Page(everything(port)[2].text)
    assert f"{paths.config.name}: it" in page.text
    # those of the state database stand in
    assert next(row for row in page.rows if row[0] == "optimizer_config.lr")[1] == "0.001"
    assert not (tmp_path / "owned").exists()


def test_a_configuration_that_aliases_make_endless_is_cut(paths: ExperimentPaths, port: int) -> None:
    levels = [f"k{level}: &k{level} [{', '.join([f'*k{level - 1}'] * 10)}]" for level in range(1, 12)]
    paths.config.write_text("\n".join(["k0: &k0 {a: 1}", *levels]), encoding="utf-8")

    everything(port)


def test_metrics_that_are_not_finite_are_shown_and_never_the_best(paths: ExperimentPaths, port: int) -> None:
    with writing(paths) as connection:
        for number, value in ((0, float("nan")), (1, float("-inf")), (2, float("inf"))):
            connection.execute(
                "UPDATE trials SET state = 'COMPLETE', metrics = ? WHERE number = ?",
                (to_json({"val_loss": value, "val_accuracy": 1e308}), number),
            )
            connection.execute(
                "UPDATE reports SET metrics = ? WHERE number = ?", (to_json({"val_loss": value}), number)
            )

    home, page, *_ = everything(port)
    cells = {cell for row in Page(page.text).rows for cell in row}
    assert {"NaN", "-∞", "∞"} <= cells
    assert "∞" not in Page(home.text).text


def test_text_of_an_experiment_is_never_markup(paths: ExperimentPaths, port: int) -> None:
    config = {"model_config": {HOSTILE: HOSTILE}, HOSTILE: HOSTILE}
    with writing(paths) as connection:
        connection.execute(
            "UPDATE experiments SET name = ?, notes = ?, tags = ?, search_space = ?, command_line = ?",
            (HOSTILE, HOSTILE, to_json([HOSTILE]), to_json({HOSTILE: HOSTILE}), HOSTILE),
        )
        connection.execute(
            "UPDATE trials SET params = ?, metrics = ?, reason = ?, traceback = ?, config = ?, device = ?, "
            "host = ?",
            (
                to_json({HOSTILE: HOSTILE, "x": 1.0}),
                to_json({HOSTILE: 1.0, "val_loss": 2.0}),
                *(HOSTILE, HOSTILE, to_json(config), HOSTILE, HOSTILE),
            ),
        )
        connection.execute("UPDATE reports SET metrics = ?", (to_json({HOSTILE: 1.0, "val_loss": 2.0}),))
        (trial_id,) = connection.execute("SELECT trial_id FROM trials WHERE number = 0").fetchone()
    paths.trial(trial_id).log.write_text(HOSTILE, encoding="utf-8")
    paths.log.write_text(HOSTILE, encoding="utf-8")

    for answer in everything(port)[:4]:
        page = Page(answer.text)
        assert HOSTILE in page.text or HOSTILE.replace('"', "") in page.text
        assert page.attributes("script", "src") == ["/static/main.js"]
        assert [tag for tag, _ in page.tags if tag in ("script", "img", "style", "iframe", "object")] == ["script"]
        names = {name for _, at in page.tags for name in at}
        assert not [name for name in names if name.startswith("on") or name == "style"]
    for answer in (
        ask(port, f"/experiments/{SOUND}?text=%3Cscript%3Ealert(1)%3C/script%3E&where=%3Cscript%3E"),
        ask(port, "/experiments/%3Cscript%3E"),
    ):
        assert "<script>" not in answer.text


def test_a_metric_with_quotes_in_its_name_can_be_sorted_by(paths: ExperimentPaths, port: int) -> None:
    name = 'a"b\\c'
    with writing(paths) as connection:
        for number in range(12):
            connection.execute(
                "UPDATE trials SET metrics = ? WHERE number = ?",
                (to_json({name: (number * 5) % 12, "val_loss": 1.0}), number),
            )

    answer = ask(port, f"/experiments/{SOUND}?sort=metrics.a%22b%5Cc")
    found = [int(at["data-key"]) for tag, at in Page(answer.text).tags if tag == "tr" and "data-key" in at]
    assert found == sorted(range(12), key=lambda number: (number * 5) % 12)


def test_thousands_of_parameters_are_shown_in_part_and_found_in_full(paths: ExperimentPaths, port: int) -> None:
    params: dict[str, Any] = {f"task.x{index}": index / 7 for index in range(3000)}
    with writing(paths) as connection:
        connection.execute("UPDATE trials SET params = ?", (to_json(params),))

    _, page, *_ = everything(port)
    assert len(Page(page.text).rows[1]) < 30
    found = Page(ask(port, f"/experiments/{SOUND}?column=params.task.x2999&where=params.task.x2998%3E=1").text)
    assert found.rows[1][3] == f"{2999 / 7:.5g}"


def test_a_link_out_of_the_directory_is_not_followed(paths: ExperimentPaths, port: int, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret words", encoding="utf-8")
    with writing(paths) as connection:
        (trial_id,) = connection.execute("SELECT trial_id FROM trials WHERE number = 0").fetchone()
    trial = paths.trial(trial_id)
    trial.log.unlink()
    trial.log.symlink_to(secret)
    paths.log.unlink()
    paths.log.symlink_to(secret)
    (paths.experiment_dir / "experiment_link").symlink_to(tmp_path)

    for path in (
        "/",
        f"/experiments/{SOUND}/trials/0",
        f"/experiments/{SOUND}/trials/0/log",
        f"/experiments/{SOUND}/log",
    ):
        assert "secret words" not in ask(port, path).text
    assert ask(port, "/experiments/link").status == 404
    assert ask(port, f"/experiments/{SOUND}/files/{trial_id}/{trial.log.name}").status == 404
