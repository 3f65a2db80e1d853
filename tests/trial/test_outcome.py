"""What counts as metrics, and as a text that can be kept."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.errors import TrialError
from hpo.trial.outcome import numbers, writable


@pytest.mark.parametrize("value", ["1", b"1", None, [1.0]], ids=repr)
def test_what_is_no_number_is_no_metric(value: Any) -> None:
    with pytest.raises(TrialError, match="metrics must be numbers, but were"):
        numbers({"score": value})


def test_a_text_that_is_too_long_keeps_its_ends_and_one_that_cannot_be_encoded_is_spelled() -> None:
    assert writable("a" * 10 + "b" * 10, 4) == "aa [... 16 characters ...] bb"
    assert writable("bad \udcff", 100) == "bad \\udcff"
