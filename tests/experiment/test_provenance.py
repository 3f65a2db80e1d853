from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from hpo.experiment import provenance
from hpo.experiment.provenance import collect

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A repository with one commit of code.py, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    def run(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", *identity, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    run("init")
    (tmp_path / "code.py").write_text("lr = 1\n")
    run("add", ".")
    run("commit", "-m", "first")
    return run


def test_a_clean_tree_has_its_commit_and_no_diff(git: Git) -> None:
    found = collect(["cpu"])

    assert found.git_commit == git("rev-parse", "HEAD")
    assert found.git_dirty is False
    assert found.git_diff is None


def test_a_changed_tree_is_dirty_and_its_diff_says_how(git: Git, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("lr = 2\nurl = 'postgres://ann:hunter2@db/x'\n")

    found = collect(["cpu"])

    assert found.git_dirty is True
    assert found.git_diff is not None
    assert "-lr = 1\n+lr = 2" in found.git_diff
    assert "hunter2" not in found.git_diff
    assert "git_diff" not in found.for_trial()
    assert found.for_trial()["git_dirty"] is True


def test_what_is_staged_counts_and_an_untracked_file_makes_the_tree_dirty(git: Git, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("lr = 3\n")
    git("add", "code.py")
    assert "+lr = 3" in str(collect([]).git_diff)
    git("commit", "-m", "second")

    (tmp_path / "new.py").touch()

    assert collect([]).git_dirty is True


def test_a_huge_diff_is_cut(git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_MAX_DIFF_CHARACTERS", 100)
    (tmp_path / "code.py").write_text("x" * 1000)

    assert len(str(collect([]).git_diff)) == 100


def test_outside_a_repository_and_without_git_it_is_unknown_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outside = collect(["cuda:0"])
    monkeypatch.setenv("PATH", str(tmp_path))
    without = collect(["cuda:0"])

    for found in (outside, without):
        assert (found.git_commit, found.git_dirty, found.git_diff) == (None, None, None)
        assert found.devices == ["cuda:0"]
        assert found.working_directory == str(tmp_path)
        assert found.python.split(".")[:2] == [str(part) for part in sys.version_info[:2]]
        assert found.packages["optuna"] == metadata.version("optuna")
        assert {"hpo", "torch", "hydra-core", "omegaconf"} <= found.packages.keys()


def test_the_command_line_is_the_one_that_was_typed_without_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "orig_argv", ["/venv/bin/python", "-m", "hpo", "notes=postgres://ann:hunter2@db/x"])

    assert collect([]).command_line == "python -m hpo notes=postgres://ann@db/x"
