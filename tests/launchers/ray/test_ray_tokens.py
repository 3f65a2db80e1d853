"""A cluster that asks for a token, as every one does from Ray 2.61 on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo.errors import ConfigError
from tests.e2e.conftest import run_hpo
from tests.launchers import tasks
from tests.launchers.applications import opened
from tests.launchers.ray.conftest import head

pytestmark = pytest.mark.slow

_TOKEN = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """That of a head of its own, which knows one token."""
    pytest.importorskip("ray")
    file = tmp_path_factory.mktemp("head") / "token"
    file.write_text(_TOKEN)
    with head(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(file)) as (address, _):
        yield address


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, "asks for a token, and none is given"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}, "asks for a token, and the one that is given is"),
    ],
)
def test_a_cluster_whose_token_is_missing_or_wrong_is_told_at_once(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    joined = f"hydra.launcher.address={address}"
    with pytest.raises(ConfigError, match=said), opened("ray", tasks.return_number, tmp_path, joined):
        pass


def test_a_token_for_a_cluster_that_asks_for_none_is_told_at_once(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", _TOKEN)
    joined = f"hydra.launcher.address={cluster.address}"
    with (
        pytest.raises(ConfigError, match="asks for no token: say `unset RAY_AUTH_MODE`"),
        opened("ray", tasks.return_number, tmp_path, joined),
    ):
        pass


def test_a_cluster_is_joined_with_its_token(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(f"{_TOKEN}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    search = ("+experiment=quadratic", "--multirun", "total_trials=2", "concurrent_trials=1")
    run = run_hpo(tmp_path, *search, "hydra/launcher=ray", f"hydra.launcher.address={address}")

    assert run.status == 0, run.stderr
    assert run.trials("state") == [("COMPLETE",)] * 2
