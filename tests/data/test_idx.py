from __future__ import annotations

import gzip

import numpy as np
import pytest

from hpo.data.idx import read_idx
from hpo.errors import DataError

HEADER = bytes((0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3))


def test_an_array_comes_back_in_its_shape(tmp_path):
    path = tmp_path / "array"
    path.write_bytes(HEADER + bytes(range(6)))
    assert np.array_equal(read_idx(path, 2), [[0, 1, 2], [3, 4, 5]])


def test_a_compressed_file_is_read_as_well(tmp_path):
    path = tmp_path / "array.gz"
    path.write_bytes(gzip.compress(HEADER + bytes(range(6))))
    assert read_idx(path, 2).shape == (2, 3)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "starts with , but"),
        (b"<html>not an array</html>", "starts with 3c 68 74 6d, but .* starts with 00 00 08 02"),
        (bytes((0, 0, 8, 1, 0, 0, 0, 1, 7)), "in 2 dimensions starts with 00 00 08 02"),
        (HEADER[:10], "its header of 12 bytes has only 10"),
        (HEADER + bytes(5), "holds 5 bytes of data, but its header says 2 x 3 = 6"),
        (HEADER + bytes(7), "holds 7 bytes of data, but its header says 2 x 3 = 6"),
    ],
)
def test_a_malformed_file_is_named_with_what_was_expected(tmp_path, data, complaint):
    path = tmp_path / "array"
    path.write_bytes(data)
    with pytest.raises(DataError, match=complaint) as raised:
        read_idx(path, 2)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("cut", [0, 5, 20, -1])
def test_a_compressed_file_that_was_cut_is_named(tmp_path, cut):
    path = tmp_path / "array.gz"
    path.write_bytes(gzip.compress(HEADER + bytes(range(6)))[:cut])
    with pytest.raises(DataError, match=r"array\.gz"):
        read_idx(path, 2)


def test_a_file_that_is_not_compressed_but_says_so_is_named(tmp_path):
    path = tmp_path / "array.gz"
    path.write_bytes(HEADER + bytes(range(6)))
    with pytest.raises(DataError, match=r"array\.gz cannot be read: Not a gzipped file"):
        read_idx(path, 2)
