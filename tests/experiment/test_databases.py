"""Which URLs of databases are taken, and what is said of the others."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from hpo.errors import ConfigError
from hpo.experiment import databases
from hpo.experiment.databases import check_stores, check_url
from tests.postgresql import PASSWORD, Server

Quadratic = Callable[..., DictConfig]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "nonsense",
            r"state_db=nonsense is no URL of a database, such as postgresql\+psycopg://user@host/database",
        ),
        ("postgresql://me:geheim@host/d", "state_db holds a password, .* state_db=postgresql://me@host/d"),
        ("postgresql://me@host/d?password=geheim", "holds a password, .*: state_db=postgresql://me@host/d"),
        ("postgresql://me@host:abc/d", "state_db=postgresql://me@host:abc/d is no URL"),
        ("postgresql://me@host/d?sslpassword=geheim", "holds a password, .*: state_db=postgresql://me@host/d"),
        (
            "nosuch://me@host/d",
            "state_db=nosuch://me@host/d: SQLAlchemy knows no database 'nosuch'; a URL is such",
        ),
        ("sqlite:////not/here/state.db", "cannot be opened: unable to open database file"),
    ],
)
def test_what_is_no_place_for_a_database_is_told_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as told:
        check_url("state_db", url)

    assert "geheim" not in str(told.value)


def test_a_driver_that_is_missing_is_told_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(
        ConfigError, match=r"needs psycopg, which is not installed: pip install 'hpo\[postgresql\]'"
    ):
        check_url("study_db", "postgresql+psycopg://me@host/d")


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setitem(databases._IN_TIME, "connect_timeout", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://me@127.0.0.1:{silent.getsockname()[1]}/d"

        with pytest.raises(ConfigError, match=r"cannot be opened: .*timeout"):
            check_url("state_db", url)


def test_the_password_is_that_of_the_environment(
    postgresql: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_url("state_db", database)
    monkeypatch.setenv("PGPASSWORD", "wrong")
    with pytest.raises(
        ConfigError, match=r"password authentication failed .* Credentials come from the environment"
    ):
        check_url("state_db", database)
    monkeypatch.setenv("HPO_DB_PASSWORD", PASSWORD)

    check_url("state_db", database)


def test_a_password_may_come_with_the_url_where_all_of_it_is_from_the_environment(
    quadratic: Quadratic, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv("MY_DATABASE", database.replace("@", f":{PASSWORD}@"))

    check_stores(quadratic(state_db="${oc.env:MY_DATABASE}"))


def test_a_variable_in_a_part_of_the_url_excuses_no_password(
    quadratic: Quadratic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_HOST", "host")
    for url in (
        "postgresql://me:geheim@${oc.env:DB_HOST}/d",
        "postgresql://me@${oc.env:DB_HOST}/d?password=geheim",
    ):
        with pytest.raises(ConfigError, match="state_db holds a password") as told:
            check_stores(quadratic(state_db=url))
        assert "geheim" not in str(told.value)


def test_two_databases_in_one_file_would_have_the_same_tables(quadratic: Quadratic, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'both.db'}"

    with pytest.raises(ConfigError, match="each has a table trials: give them databases of their own"):
        check_stores(quadratic(state_db=url, study_db=url))
