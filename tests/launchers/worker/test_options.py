"""The options of a launcher, as Hydra hands them over."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.errors import ConfigError
from tests.launchers import tasks
from tests.launchers.applications import opened


@pytest.mark.parametrize(
    ("launcher", "option", "said"),
    [
        ("local", "address", "; it is one of hydra/launcher=ray. It has concurrency, "),
        ("local", "devices.memory", "; the nearest are: devices.memory_mb"),
        ("local", "foo", ". It has concurrency, "),
        ("in_process", "trials_per_process", "; it is one of hydra/launcher=local, ray, slurm. It has none"),
        ("ray", "adress", "; the nearest are: address"),
        ("slurm", "init", "; it is one of hydra/launcher=ray. It has concurrency, "),
    ],
)
def test_an_option_that_a_plus_adds_and_no_launcher_reads_is_told_before_anything_starts(
    tmp_path: Path, launcher: str, option: str, said: str
) -> None:
    told = f"hydra.launcher.{option}: hydra/launcher={launcher} has no such option{said}"
    with (
        pytest.raises(ConfigError) as error,
        opened(launcher, tasks.return_number, tmp_path, f"+hydra.launcher.{option}=1"),
    ):
        pass
    assert told in str(error.value)
    assert not list(tmp_path.iterdir())
