from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.errors import ConfigError, SearchSpaceError
from hpo.search.enqueued import read_enqueued
from hpo.search.tree import SearchSpace

SPACE = SearchSpace.of(
    {
        "lr": FloatDistribution(1e-4, 1.0),
        "n": IntDistribution(1, 9),
        "kind": CategoricalDistribution(["a,b", "1", None, True, "null "]),
    }
)


def test_a_list_in_the_configuration_may_leave_keys_out() -> None:
    given = OmegaConf.create([{"lr": 0.5}, {"n": 3, "kind": "1"}, {}])

    assert read_enqueued(given, SPACE) == [{"lr": 0.5}, {"n": 3, "kind": "1"}, {}]
    assert read_enqueued(None, SPACE) == []


def test_a_yaml_file_holds_the_same_list(tmp_path: Path) -> None:
    file = tmp_path / "first.yaml"
    file.write_text("- {lr: 0.5, kind: null}\n- n: 3\n  kind: '1'\n")

    assert read_enqueued(str(file), SPACE) == [{"lr": 0.5, "kind": None}, {"n": 3, "kind": "1"}]


def test_cells_of_a_csv_have_the_type_that_the_space_has_of_them(tmp_path: Path) -> None:
    file = tmp_path / "first.csv"
    file.write_text('lr,n,kind\n1e-3,3,"a,b"\n,4,1\n0.5,,null\n0.25,2,true\n')

    found = read_enqueued(str(file), SPACE)

    assert found == [
        {"lr": 1e-3, "n": 3, "kind": "a,b"},
        {"n": 4, "kind": "1"},
        {"lr": 0.5, "kind": None},
        {"lr": 0.25, "n": 2, "kind": True},
    ]


@pytest.mark.parametrize(
    ("text", "name", "complaint"),
    [
        ("lr: 3\n", "a.yaml", "enqueue takes a list of mappings"),
        ("- 3\n", "a.yaml", r"a\.yaml\[0\] is 3"),
        ("- {\n", "a.yaml", "is no YAML"),
        ("lr,n\n0.5\n", "a.csv", "line 2 has not as many cells"),
        ("lr,n\n0.5,1,2\n", "a.csv", "line 2 has not as many cells"),
        ("lr,m\n0.5,1\n7,1\n", "a.csv", r"line 1: m is not in the search space; there is: lr, n, kind"),
        ("lr,n\n", "a.csv", "a.csv holds no configuration"),
        ("[]\n", "a.yaml", "a.yaml holds no configuration"),
        ("lr,n,lr\n0.5,1,2\n", "a.csv", r"line 1: lr stands there twice"),
        ("", "a.csv", "a.csv is empty: its first line names the searched keys"),
        ("- 1\n- {lr: 0.5}\n- [2]\n", "a.yaml", r"a.yaml\[0\] is 1\n.*a.yaml\[2\] is \[2\]\nenqueue takes a list"),
        ("lr\n0.5\n7\n", "a.csv", r"line 3: lr=7 is outside the search space"),
        ("", "a.txt", "unknown ending"),
    ],
)
def test_what_cannot_be_tried_is_an_error_with_its_place(
    tmp_path: Path, text: str, name: str, complaint: str
) -> None:
    file = tmp_path / name
    file.write_text(text)

    with pytest.raises((ConfigError, SearchSpaceError), match=complaint):
        read_enqueued(str(file), SPACE)


@pytest.mark.parametrize("node", [3, {"lr": 0.5}, "nowhere.csv"])
def test_what_is_no_list_and_no_file_is_an_error(node: Any) -> None:
    with pytest.raises(ConfigError, match="enqueue"):
        read_enqueued(OmegaConf.create(node) if isinstance(node, dict) else node, SPACE)
