from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import yaml
from omegaconf import OmegaConf

from hpo.config import Direction, RunConfig
from hpo.resolved import plain, to_json, to_yaml, without_passwords

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"postgresql://ann:{SECRET}@db.example:5432/x", "postgresql://ann@db.example:5432/x"),
        (f"mysql+pymysql://ann:{SECRET}@h/x", "mysql+pymysql://ann@h/x"),
        (f"see HTTPS://ann:{SECRET}@a and redis://:{SECRET}@b", "see HTTPS://ann@a and redis://@b"),
        (f"redis://ann:{SECRET}:{SECRET}@h", "redis://ann@h"),
        ("https://example.com:8080/a@b", "https://example.com:8080/a@b"),
        ("ann:no-url@example", "ann:no-url@example"),
    ],
)
def test_a_url_loses_its_password_and_nothing_else(text: str, kept: str) -> None:
    assert without_passwords({"deep": [{"url": text}]}) == {"deep": [{"url": kept}]}


def test_a_password_that_an_interpolation_brings_in_is_removed_as_well() -> None:
    config = OmegaConf.create({"password": "x", "url": f"postgres://ann:{SECRET}@${{host}}/d", "host": "h"})

    assert plain(config)["url"] == "postgres://ann@h/d"


def test_a_variable_of_the_environment_stays_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    config = OmegaConf.create(
        {
            "plain": "${oc.env:TOKEN}",
            "default": "${oc.env:TOKEN,none}",
            "inside": "a-${oc.env:TOKEN}-b",
            "through": "${plain}",
            "list": ["${oc.env:TOKEN}", "${other}"],
            "other": 3,
        }
    )

    values = plain(config)

    assert SECRET not in json.dumps(values)
    assert values["plain"] == values["through"] == values["list"][0] == "${oc.env:TOKEN}"
    assert values["default"] == "${oc.env:TOKEN,none}"
    assert values["list"][1] == 3
    assert config.plain == SECRET, "the configuration itself must go on resolving"


def test_a_variable_in_a_typed_key_stays_as_it_is_written_and_the_others_resolve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEED", "7")
    config = OmegaConf.structured(RunConfig)
    config.random_seed = "${oc.env:SEED}"
    config.task = {"seed": "${random_seed}", "epochs": "${train_config.epochs}"}

    values = plain(config)

    assert values["random_seed"] == "${oc.env:SEED}"
    assert values["task"]["epochs"] == 10
    assert values["verbose"] == "auto"
    assert config.random_seed == 7


def test_enums_become_their_names_and_the_yaml_reads_back_equal() -> None:
    config = OmegaConf.structured(RunConfig)
    config.optim_metrics = {"val_loss": Direction.min, "val_accuracy": Direction.max}
    config.notes = "zwölf: 'quoted'\nsecond line"
    values = plain(config)

    assert values["optim_metrics"] == {"val_loss": "min", "val_accuracy": "max"}
    assert list(values) == list(config), "the order is the configuration's"
    assert yaml.safe_load(to_yaml(values)) == values


def test_json_for_the_database_is_strict_and_every_reader_takes_it(tmp_path: Path) -> None:
    text = to_json(
        {"loss": math.nan, "deep": [{"up": math.inf}], "down": (-math.inf,), "path": tmp_path, "n": 1.5}
    )

    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read["loss"] == "nan"
    assert read["deep"] == [{"up": "inf"}]
    assert read["down"] == ["-inf"]
    assert read["n"] == 1.5
    assert pd.json_normalize(read)["path"][0] == str(tmp_path)
