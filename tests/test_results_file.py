from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpo.results_file import num_kept, read_records, step_of, whole_records

RECORDS = [{"a}": 1, "current_iteration": 1}, {"b": float("inf")}, {"c": -0.5e-3}]


def test_a_record_belongs_to_its_iteration_and_is_counted_without_one() -> None:
    assert step_of({"current_iteration": 1875}, 3) == 1875
    assert step_of({"loss": 1.0}, 3) == 3


def test_where_there_is_no_file_there_is_no_record(tmp_path: Path) -> None:
    assert read_records(tmp_path / "nothing.json") == []


@pytest.mark.parametrize("indent", [None, 2])
def test_of_a_file_that_was_cut_anywhere_the_whole_records_are_read(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "a.json"
    text = json.dumps(RECORDS, indent=indent)
    ends = [end for _, end in whole_records(text)]
    assert [record for record, _ in whole_records(text)] == RECORDS
    for num_characters in range(len(text)):
        path.write_text(text[:num_characters])
        assert read_records(path) == RECORDS[: sum(end <= num_characters for end in ends)]


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", "null", "[", '[{"a": 1}\0\0\0', "\xff\xfe"])
def test_what_is_no_array_of_records_gives_those_before_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="latin-1")
    assert read_records(path) == ([{"a": 1}] if "a" in text else [])


def at(*steps: int | None) -> list[dict[str, int]]:
    return [{} if step is None else {"current_iteration": step} for step in steps]


@pytest.mark.parametrize(
    ("records", "step", "num_saved", "expected"),
    [
        (at(1, 2, 3), 2, 2, 2),
        (at(1, 1, 2, 2), 1, 2, 2),
        (at(1, 2, 3), 0, 0, 0),
        (at(0, 1), 0, 0, 0),
        (at(0, 1), 0, 1, 1),
        (at(1, 2), 5, 5, 2),
        # one that was reported after its checkpoint is there, and is not reported again
        (at(1, 2, 3), 2, 1, 2),
        (at(None, None, None), 2, 2, 2),
        (at(None, 1, None, 2, None), 1, 3, 3),
        (at(None, 1, None, 2, None), 1, 2, 2),
        ([], 3, 3, 0),
    ],
)
def test_records_are_kept_up_to_the_first_one_beyond(
    records: list[dict[str, int]], step: int, num_saved: int, expected: int
) -> None:
    assert num_kept(records, step, num_saved) == expected
    assert num_kept(records[:expected], step, expected) == expected
