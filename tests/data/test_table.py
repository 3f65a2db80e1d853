from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from hpo.data.table import Table
from hpo.errors import DataError
from hpo.records import DataSource

FLOWERS = "width,length,species\n" + "".join(
    f"{row},{row * row},{'setosa' if row % 3 else 'iris'}\n" for row in range(30)
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HPO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def flowers(tmp_path: Path) -> str:
    path = tmp_path / "flowers.csv"
    path.write_text(FLOWERS)
    return str(path)


def tensors(dataset: Dataset[Any] | None) -> tuple[Tensor, ...]:
    assert isinstance(dataset, TensorDataset)
    return dataset.tensors


def whole(data: Table) -> tuple[Tensor, Tensor]:
    """Inputs and targets of all parts, in the order of the first column."""
    splits = data.load(None)
    parts = [tensors(part) for part in (splits.train, splits.val, splits.test) if part is not None]
    inputs, targets = (torch.cat(each) for each in zip(*parts, strict=True))
    order = inputs[:, 0].argsort(stable=True)
    return inputs[order], targets[order]


def test_a_csv_table_gives_float_features_and_class_numbers_in_sorted_order(
    flowers: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = Table(flowers, "species", standardize=False)
    source = data.source()
    assert (source.name, len(source.digest), source.has_test) == ("flowers.csv", 64, False)
    with caplog.at_level(logging.INFO, logger="hpo.data"):
        inputs, targets = whole(data)
    assert (inputs.dtype, targets.dtype) == (torch.float32, torch.int64)
    assert inputs.tolist() == [[row, row * row] for row in range(30)]
    assert targets.tolist() == [1 if row % 3 else 0 for row in range(30)]
    assert caplog.messages == ["classes: 0 iris, 1 setosa"]


def test_regression_targets_fit_a_model_with_one_output(flowers: str) -> None:
    inputs, targets = whole(Table(flowers, "length", ["width"], task="regression", standardize=False))
    assert (inputs.shape, targets.shape, targets.dtype) == ((30, 1), (30, 1), torch.float32)
    assert torch.equal(targets, inputs**2)


def test_whole_numbers_as_classes_are_sorted_as_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{row},{(10, 9, 1)[row % 3]}\n" for row in range(6)))
    _, targets = whole(Table(str(tmp_path / "t.csv"), "b", standardize=False))
    assert targets.tolist() == [2, 1, 0, 2, 1, 0]


def test_features_are_standardized_by_the_training_part_alone(flowers: str) -> None:
    raw, scaled = (
        Table(flowers, "species", test_fraction=0.2, standardize=standardize).load(None)
        for standardize in (False, True)
    )
    train = tensors(raw.train)[0].double()
    mean, deviation = train.mean(0), train.std(0, correction=0)
    for part in ("train", "val", "test"):
        expected = (tensors(getattr(raw, part))[0].double() - mean) / deviation
        assert torch.allclose(tensors(getattr(scaled, part))[0].double(), expected, atol=1e-6)
    assert tensors(scaled.train)[0].mean(0).abs().max() < 1e-6


def test_a_constant_column_becomes_zero(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c\n" + "5,1,x\n5,2,y\n" * 5)
    inputs = tensors(Table(str(tmp_path / "t.csv"), "c").load(None).train)[0]
    assert inputs[:, 0].tolist() == [0.0] * 8


def test_the_parts_have_the_fractions_and_the_seed_draws_them(flowers: str) -> None:
    def parts(seed: int) -> list[Tensor]:
        splits = Table(flowers, "species", val_fraction=0.25, test_fraction=0.2, seed=seed).load(None)
        return [tensors(part)[0] for part in (splits.train, splits.val, splits.test)]

    assert [len(part) for part in parts(0)] == [18, 6, 6]
    assert all(torch.equal(one, other) for one, other in zip(parts(0), parts(0), strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(parts(0), parts(1), strict=True))


def test_trials_open_what_one_has_read(flowers: str) -> None:
    data = Table(flowers, "species")
    source = data.source()
    first = tensors(data.load(source).train)[0]
    Path(flowers).unlink()
    assert torch.equal(tensors(data.load(source).train)[0], first)
    with pytest.raises(DataError, match=r"there is no file .*flowers\.csv"):
        data.source()


def test_a_table_that_changed_since_the_experiment_began_is_an_error(flowers: str) -> None:
    with pytest.raises(DataError, match=r"flowers\.csv changed since the experiment began"):
        Table(flowers, "species").load(DataSource("flowers.csv", "0" * 64))


@pytest.mark.parametrize("kind", ["npz", "npy", "structured"])
def test_numpy_tables_give_the_same(tmp_path: Path, flowers: str, kind: str) -> None:
    rows = np.arange(30)
    numbers, labels = np.stack([rows, rows**2], 1).astype(float), np.where(rows % 3, 1, 0)
    target: str | int | None
    if kind == "npz":
        path, target = tmp_path / "t.npz", None
        np.savez_compressed(path, x=numbers, y=labels[:, None])
    elif kind == "npy":
        path, target = tmp_path / "t.npy", 2
        np.save(path, np.column_stack([numbers, labels]))
    else:
        path, target = tmp_path / "t.npy", "species"
        names = np.where(labels, "setosa", "iris")
        fields = [("width", float), ("length", int), ("species", "U8")]
        np.save(path, np.array(list(zip(rows, rows**2, names, strict=True)), dtype=fields))
    expected, found = Table(flowers, "species").load(None), Table(str(path), target).load(None)
    for part in ("train", "val"):
        for one, other in zip(tensors(getattr(expected, part)), tensors(getattr(found, part)), strict=True):
            assert torch.equal(one, other)


def test_spreadsheets_may_quote_and_mark_their_encoding(tmp_path: Path) -> None:
    text = '\ufeff"a"," b ",c\r\n"1",2,"x, y"\r\n\r\n3, 4 ,"z"\r\n' + "5,6,z\r\n" * 2
    (tmp_path / "t.csv").write_bytes(text.encode())
    inputs, targets = whole(Table(str(tmp_path / "t.csv"), "c", ["b", "a"], standardize=False))
    assert inputs.tolist() == [[2, 1], [4, 3], [6, 5], [6, 5]]
    assert targets.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,x\n2,y\nthree,x\n", "line 4, column 'a': 'three' is not a number; data_config.features"),
        ("a,b\n1,x\n,y\n", r"line 3, column 'a': the value is missing \(''\)"),
        ("a,b\n1,x\nNaN,y\n", r"line 3, column 'a': the value is missing \('NaN'\)"),
        ("a,b\n1,x\ninf,y\n", "line 3, column 'a': 'inf' is not a finite number"),
        ("a,b\n1,x\n1e39,y\n", "line 3, column 'a': '1e39' is not a finite number of single precision"),
        ("a,b\n1,x\n2, \n", "line 3, column 'b': the target is missing"),
        ("a,b\n1,x\n2,y,9\n", "line 3: 3 values, but the header names 2 columns"),
        ("a,b\n\n1\n", "line 3: 1 value, but the header names 2 columns"),
        ('a,b\n1,x\n2,"y\n', "line 3: unexpected end of data"),
        ("", "has no header row"),
        ("a,b\n", "holds no rows"),
        ("a,b\n1,x\n2,x\n", "column 'b': all 2 rows are of one class, 'x'"),
        ("a,b\n1,1.5\n2,2\n", "line 2, column 'b': '1.5' is not a class; .*data_config.task=regression"),
        ("a,c\n1,x\n", r"has no column 'b' \(data_config.target\).* There are: a, c"),
        ("a,b,b\n1,2,x\n", "has more than one column 'b'"),
        ("b\nx\ny\n", "no column is left to learn from besides the target 'b'"),
    ],
)
def test_what_is_wrong_in_a_csv_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=told) as raised:
        Table(str(path), "b").source()
    assert str(path) in str(raised.value)


def test_a_value_far_down_is_told_with_its_own_line(tmp_path: Path) -> None:
    lines = ["a,b", *("1,x" for _ in range(9000))]
    lines[8500] = "?,x"
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 8501, column 'a': the value is missing"):
        Table(str(tmp_path / "t.csv"), "b").source()


def test_a_regression_target_that_is_no_number_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n2,many\n")
    with pytest.raises(DataError, match=r"line 3, column 'b': 'many' is not a number; .*task=classification"):
        Table(str(tmp_path / "t.csv"), "b", task="regression").source()


def test_an_unknown_column_is_told_with_those_of_a_like_name(flowers: str) -> None:
    with pytest.raises(DataError, match=r"no column 'specie' \(data_config.target\); did you mean 'species'\?"):
        Table(flowers, "specie").source()
    with pytest.raises(DataError, match=r"no column 'with' \(data_config.features\); did you mean 'width'"):
        Table(flowers, "species", ["with"]).source()
    with pytest.raises(DataError, match="features holds the target 'species'"):
        Table(flowers, "species", ["width", "species"]).source()


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.array([[1.0], [np.nan]]), "y": np.array([0, 1])}, "row 1, column '0': nan is not a finite"),
        ({"x": np.ones((3, 2)), "y": np.array([0, 1])}, r"they are \(3, 2\) and \(2,\)"),
        ({"x": np.ones((3, 2))}, "must hold the arrays x and y; it has x"),
        ({"x": np.ones((0, 2)), "y": np.ones(0, int)}, "holds no rows"),
        ({"x": np.ones((2, 2)), "y": np.array([0, 0])}, "of one class, '0'"),
        ({"x": np.ones((2, 2)), "y": np.array([0.5, 1])}, "row 0, column 'y': 0.5 is not a class"),
        ({"x": np.ones((2, 2)), "y": np.array([1j, 2j])}, "complex128 is neither whole numbers nor names"),
        ({"x": np.array([["a"], ["b"]]), "y": np.array([0, 1])}, "column '0': <U1 is not numbers"),
        ({"x": np.array([[None], [1]]), "y": np.array([0, 1])}, "cannot be read: Object arrays"),
    ],
)
def test_what_is_wrong_in_arrays_is_told_with_its_place(tmp_path: Path, arrays: Any, told: str) -> None:
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(DataError, match=told) as raised:
        Table(str(tmp_path / "t.npz")).source()
    assert str(tmp_path / "t.npz") in str(raised.value)


@pytest.mark.parametrize("shape", [(0, 2), (4,), (2, 2, 2)])
def test_an_array_that_is_no_table_is_told(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "t.npy", np.ones(shape))
    with pytest.raises(DataError, match=r"t\.npy (holds|cannot be read)"):
        Table(str(tmp_path / "t.npy"), 1).source()


@pytest.mark.parametrize("suffix", ["csv", "npy", "npz"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t.{suffix}"
    with pytest.raises(DataError, match=r"there is no file .*t\."):
        Table(str(path), "b").source()
    path.write_bytes(b"PK\x03\x04 not \xff what it says")
    with pytest.raises(DataError, match=rf"t\.{suffix} cannot be read"):
        Table(str(path), "b").source()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"path": None}, "data_config.path is not set"),
        ({"target": None}, "data_config.target is not set"),
        ({"task": "ranking"}, "data_config.task='ranking' is not known; allowed are classification and"),
        ({"features": "width"}, r"data_config.features='width' must be a list of columns, such as \[width\]"),
        ({"val_fraction": 1.5}, "data_config.val_fraction=1.5"),
        ({"test_fraction": -1}, "data_config.test_fraction=-1"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(options: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        Table(**{"path": "t.csv", "target": "b", **options})


def test_another_kind_of_file_and_too_few_rows_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").touch()
    with pytest.raises(DataError, match=r"t\.xlsx must end with one of \.csv, \.npy, \.npz"):
        Table(str(tmp_path / "t.xlsx"), "b").source()
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,y\n")
    with pytest.raises(DataError, match=r"t\.csv holds 2 rows, too few for train, val, test"):
        Table(str(tmp_path / "t.csv"), "b", test_fraction=0.5).source()


def test_finding_the_source_imports_no_torch(flowers: str) -> None:
    code = (
        "import sys; from hpo.data.table import Table; "
        f"Table({flowers!r}, 'species').source(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
