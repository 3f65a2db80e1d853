from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from omegaconf import DictConfig

from hpo.errors import ConfigError, DataError
from hpo.experiment.data_source import find_data_source
from hpo.records import DataSource

Make = Callable[..., DictConfig]

HERE = "tests.experiment.test_data_source"


@dataclass
class Found:
    where: str

    def source(self) -> DataSource:
        if self.where == "nowhere":
            raise DataError("no files in nowhere")
        return DataSource(self.where, "ff")


@dataclass
class Downloaded(Found):
    def preview(self) -> DataSource:
        return DataSource(self.where, "", warning="not here yet")


class Unable:
    def __init__(self, kind: str) -> None:
        if kind == "data":
            raise DataError("no files at all")
        raise RuntimeError("no such codec")


class Silent:
    """A data module that cannot tell where its data is from."""


def find(quadratic: Make, target: str | None, **options: Any) -> DataSource | None:
    node = {"_target_": f"{HERE}.{target}", **options} if target else options or None
    return find_data_source(quadratic(data_config=node))


def test_the_source_is_what_the_data_module_finds(quadratic: Make) -> None:
    assert find(quadratic, "Found", where="disk") == DataSource("disk", "ff")


def test_without_a_data_module_or_its_word_there_is_none(quadratic: Make) -> None:
    assert find(quadratic, None) is None
    assert find(quadratic, None, rows=3) is None
    assert find(quadratic, "Silent") is None


def test_missing_data_is_the_modules_own_error(quadratic: Make) -> None:
    with pytest.raises(DataError, match=r"^no files in nowhere"):
        find(quadratic, "Found", where="nowhere")
    with pytest.raises(DataError, match=r"^no files at all"):
        find(quadratic, "Unable", kind="data")


@pytest.mark.parametrize(("target", "options"), [("Unable", {"kind": "x"}), ("Found", {}), ("Missing", {})])
def test_a_module_that_cannot_be_built_is_an_error_that_names_it(
    quadratic: Make, target: str, options: Any
) -> None:
    with pytest.raises(ConfigError, match=rf"data_config \({HERE}\.{target}.*\) cannot be built: "):
        find(quadratic, target, **options)


def test_a_dry_run_asks_for_the_preview_where_there_is_one(quadratic: Make) -> None:
    node = {"_target_": f"{HERE}.Downloaded", "where": "disk"}
    assert find_data_source(quadratic(data_config=node)) == DataSource("disk", "ff")
    assert find_data_source(quadratic(data_config=node, dry_run=True)) == DataSource(
        "disk", "", warning="not here yet"
    )
    assert find_data_source(quadratic(data_config={**node, "_target_": f"{HERE}.Found"}, dry_run=True))
