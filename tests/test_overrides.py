from __future__ import annotations

import itertools
import math

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from hpo.overrides import encode, encode_value

NASTY = [
    *("", " ", "null", "NULL", "Null", "true", "False", "nan", "inf", "-inf", "None", "yes", "~"),
    *("1", "-1", "1.", "1e3", "1_000", "0x1F", "-0.0"),
    *("a,b", "a=b", "a:b", "{a: 1}", "[a, b]", "()", "choice(1, 2)", "interval(0, 1)", "glob(*)", "a\tb", "a\nb"),
    *("'", '"', "''", "it's", 'say "x"', "\\", "\\\\", "a\\", "\\'", "a\\'b", '\\"', "\\'\\", "x'\\"),
    *(" padded ", "é✓ 漢字", "#x", "%", "@", "$", "${x}", "${oc.env:HOME}", "!", "|", "*", "a?b"),
    *("/tmp/a-b/c.d", "..", "a/b.c", "_", "-", "x" * 300),
]


def parse(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


@pytest.mark.parametrize("text", NASTY)
def test_a_string_comes_back_from_hydras_grammar_as_the_same_string(text: str) -> None:
    override = parse(f"key={encode_value(text)}")

    assert not override.is_sweep_override()
    assert override.value() == text
    assert isinstance(override.value(), str)


def test_any_three_characters_out_of_the_grammars_own_come_back() -> None:
    for letters in itertools.product("'\"\\,={}[]()$ 0a-", repeat=3):
        text = "".join(letters)
        assert parse(f"key={encode_value(text)}").value() == text


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, 1, -1, 10**20, 0.0, 1.0, 1e3, 1e-7, 5e-324, 1.7e308, 0.1 + 0.2, math.inf, -math.inf],
)
def test_a_value_keeps_its_type_and_every_digit(value: object) -> None:
    back = parse(f"key={encode_value(value)}").value()  # type: ignore[arg-type]

    assert type(back) is type(value)
    assert back == value


def test_nan_and_the_sign_of_zero_survive() -> None:
    assert math.isnan(parse(f"key={encode_value(math.nan)}").value())  # type: ignore[arg-type]
    assert math.copysign(1, parse(f"key={encode_value(-0.0)}").value()) == -1  # type: ignore[arg-type]


def test_what_reads_well_without_quotes_has_none() -> None:
    assert encode({"optimizer_config": "adamw", "task.root": "/tmp/x.y", "task.x": 1e-4}) == (
        "optimizer_config=adamw",
        "task.root=/tmp/x.y",
        "task.x=0.0001",
    )
