"""The skeleton of a user's project: what is written, what is refused, and that it runs as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hpo.errors import ConfigError
from hpo.init.skeleton import package_name, write
from tests.conftest import run_in_process

_LIMIT_S = 120


def init(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "hpo.init", *arguments)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_skeleton_runs_as_it_is_written_by_the_commands_that_are_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = init(tmp_path, "my project")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert files_below(tmp_path / "my project") <= set(lines)
    commands = [line for line in lines if line.startswith("cd ")]
    assert commands == [
        "cd 'my project' && python -m hpo +experiment=spirals --multirun",
        "cd 'my project' && python -m hpo +experiment=spirals",
    ]
    search, single = (command.partition("python ")[2].split() for command in commands)
    searched = run(tmp_path / "my project", "-W", "ignore", *search)
    # it trains in the process of the command, for which this one will do
    trained = run_in_process(tmp_path / "my project", single[2:], capfd)
    for ran in (searched, trained):
        assert ran.returncode == 0, ran.stderr
        assert "best trial by val_accuracy" in ran.stdout


def test_the_package_is_named_after_the_directory_everywhere(tmp_path: Path) -> None:
    assert init(tmp_path, "3D-Shapes").returncode == 0
    project = tmp_path / "3D-Shapes"
    assert (project / "_3d_shapes" / "model.py").is_file()
    assert 'allow_targets = ["_3d_shapes.*"]' in (project / "pyproject.toml").read_text()
    assert "_target_: _3d_shapes.model.Net" in (project / "conf/model_config/net.yaml").read_text()
    for name in files_below(project):
        assert "__PACKAGE__" not in (project / name).read_text()


def test_another_name_can_be_given_to_the_package(tmp_path: Path) -> None:
    assert init(tmp_path, ".", "--package", "nets").returncode == 0
    assert (tmp_path / "nets" / "data.py").is_file()


@pytest.mark.parametrize("package", ["a", "my_net", "z" * 30])
def test_the_skeleton_is_clean_under_ruff_with_its_defaults(tmp_path: Path, package: str) -> None:
    write(tmp_path, package)
    for check in (("check",), ("format", "--check")):
        done = run(tmp_path, "-m", "ruff", *check, "--isolated", "--no-cache", ".")
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_yaml_file_opens_with_a_command_that_runs_it(tmp_path: Path) -> None:
    write(tmp_path, "my_net")
    for path in (tmp_path / "conf").rglob("*.yaml"):
        comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert any("python -m hpo +experiment=spirals" in line for line in comments), path


def test_nothing_is_overwritten_and_nothing_is_written_beside_it(tmp_path: Path) -> None:
    (tmp_path / "net" / "conf" / "model_config").mkdir(parents=True)
    for name in ("pyproject.toml", "conf/model_config/net.yaml", "mine.txt"):
        (tmp_path / "net" / name).write_text("mine")
    done = init(tmp_path, "net")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "hpo.init: nothing is overwritten, and net has already:\n  conf/model_config/net.yaml\n  pyproject.toml\n"
    )
    assert files_below(tmp_path / "net") == {"pyproject.toml", "conf/model_config/net.yaml", "mine.txt"}
    assert (tmp_path / "net" / "pyproject.toml").read_text() == "mine"


def test_a_file_where_a_folder_would_be_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("mine")
    with pytest.raises(ConfigError, match=r"conf/model_config/net\.yaml"):
        write(tmp_path, "my_net")
    assert files_below(tmp_path) == {"conf"}


def test_files_of_other_names_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    written = write(tmp_path, "my_net")
    assert files_below(tmp_path) == {"notes.txt", *map(str, written)}


@pytest.mark.parametrize("name", ["two words", "1st", "", "class", "a.b"])
def test_a_package_needs_a_name_that_python_can_import(tmp_path: Path, name: str) -> None:
    done = init(tmp_path, "net", "--package", name)
    assert done.returncode == 2
    assert f"{name!r} cannot be a package's name" in done.stderr
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize("name", ["torch", "hpo", "signal", "conf"])
def test_a_package_must_not_hide_a_module_that_is_there_already(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"--package my_{name}"):
        package_name(tmp_path / name)


@pytest.mark.parametrize(
    ("directory", "package"),
    [("Net", "net"), ("my-net 2", "my_net_2"), ("2d", "_2d"), ("class", "_class"), ("---", "my_project")],
)
def test_a_directory_of_any_name_gives_a_package(tmp_path: Path, directory: str, package: str) -> None:
    assert package_name(tmp_path / directory) == package


def test_a_directory_that_cannot_be_written_to_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = init(tmp_path, "file/net")
    assert done.returncode == 2
    assert done.stderr.startswith("hpo.init: ")
    assert "Traceback" not in done.stderr
