from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpo.errors import SearchSpaceError
from hpo.search.space import read_space
from hpo.search.tree import SearchSpace

Read = Callable[..., SearchSpace]


@pytest.fixture
def read(quadratic: Callable[..., DictConfig], loader: ConfigLoader) -> Read:
    """`read({"task.x": ...}, "command", "line")`."""

    def of(search_space: Any, *arguments: str) -> SearchSpace:
        space, problems = read_space(quadratic(search_space=search_space), arguments, loader)
        if problems:
            raise SearchSpaceError("\n".join(problems))
        return space

    return of


@pytest.mark.parametrize(
    ("sweep", "distribution"),
    [
        ("interval(-5, 5)", FloatDistribution(-5.0, 5.0)),
        ("interval(1e-4, 1)", FloatDistribution(1e-4, 1.0)),
        ("tag(log, interval(1e-4, 1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
        ("int(interval(32, 512))", IntDistribution(32, 512)),
        ("tag(log, int(interval(1, 100)))", IntDistribution(1, 100, log=True)),
        ("range(1, 10, 2)", IntDistribution(1, 9, step=2)),
        ("range(0.0, 1.0, 0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("choice(1, '1', 1.5, true, a)", None),
        ("1, 2, 3", CategoricalDistribution([1, 2, 3])),
        ("choice(sgd, 'a,b')", CategoricalDistribution(["sgd", "a,b"])),
    ],
)
def test_a_sweep_means_the_same_in_the_yaml_and_on_the_command_line(
    read: Read, sweep: str, distribution: Any
) -> None:
    if distribution is None:
        with pytest.raises(SearchSpaceError):  # true is 1
            read({"task.x": sweep})
        return
    from_yaml = read({"task.x": sweep}).distributions["task.x"]
    from_command = read({}, f"task.x={sweep}").distributions["task.x"]

    assert from_yaml == from_command == distribution


def test_a_list_is_a_choice_that_keeps_every_type_and_may_hold_null(read: Read) -> None:
    choices = [None, "null", "1", 1, "true", 0.5, "a,b", "it's", "", False]

    space = read({"task.x": choices})

    distribution = space.distributions["task.x"]
    assert isinstance(distribution, CategoricalDistribution)
    assert [(type(item), item) for item in distribution.choices] == [(type(item), item) for item in choices]
    assert space.sweeps == {"task.x": choices}, "as it was written, so that default_config.yaml reads the same"


@pytest.mark.parametrize("choices", [[1, True], [1, 1.0], ["a", "b", "a"], [False, 0]])
def test_choices_that_optuna_cannot_tell_apart_are_refused(read: Read, choices: list[Any]) -> None:
    with pytest.raises(SearchSpaceError, match="equal to Optuna"):
        read({"task.x": choices})


def test_a_sweep_on_the_command_line_adds_a_key_or_replaces_it_in_its_place(read: Read) -> None:
    space = read({"task.x": "interval(0, 1)", "task.y": "interval(0, 1)"}, "task.x=choice(1,2)", "random_seed=1,2")

    assert space.distributions == {
        "task.x": CategoricalDistribution([1, 2]),
        "task.y": FloatDistribution(0.0, 1.0),
        "random_seed": CategoricalDistribution([1, 2]),
    }
    assert list(space.distributions) == ["task.x", "task.y", "random_seed"]
    assert space.parameters[0].origin == "command line: task.x=choice(1,2)"
    assert space.sweeps["task.x"] == "choice(1,2)"
    assert (space.fixed, space.pinned) == ((), ())


@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_a_plain_value_on_the_command_line_takes_a_key_out_of_the_space(read: Read, prefix: str) -> None:
    space = read({"task.x": "interval(0, 1)", "task.y": "interval(0, 1)"}, "random_seed=3", f"{prefix}task.x=0.5")

    assert list(space.distributions) == list(space.sweeps) == ["task.y"]
    assert space.fixed == ("random_seed=3", f"{prefix}task.x=0.5")
    assert space.pinned == (f"{prefix}task.x=0.5",)


def test_a_key_that_is_forced_with_plus_signs_replaces_the_one_of_the_yaml(read: Read) -> None:
    assert list(read({"task.x": "interval(0, 1)"}, "++task.x=interval(2,3)").distributions) == ["++task.x"]


def test_the_last_word_on_the_command_line_counts(read: Read) -> None:
    assert read({"task.x": "interval(0,1)"}, "task.x=1", "task.x=2,3").distributions == {
        "task.x": CategoricalDistribution([2, 3])
    }
    assert read({}, "task.x=2,3", "task.x=1").pinned == ("task.x=1",)


@pytest.mark.parametrize(
    ("sweep", "complaint"),
    [
        ("interval(5, 1)", "`low <= high` must hold, but got (low=5.0, high=1.0)"),
        ("tag(log, interval(0, 1))", "`low > 0` must hold for `log=True`, but got (low=0.0"),
        ("range(1, 10, 0)", "nonzero step"),
        ("interval(0, inf)", "both ends must be finite"),
        ("interval(nan, 1)", "both ends must be finite"),
        ("interval(1", "cannot be read: no viable alternative"),
        ("intervall(1, 2)", "Unknown function 'intervall'"),
        ("interval(a, b)", "cannot be read"),
        ("glob(*)", "a sweep is interval(low, high)"),
        ("choice([1], [2])", "has the choice [1]; a choice is a number, a string, a boolean or null"),
    ],
)
def test_a_malformed_range_is_an_error_that_quotes_it(read: Read, sweep: str, complaint: str) -> None:
    for origin, arguments in (("search_space: task.x: ", ()), ("task.x=", (f"task.x={sweep}",))):
        with pytest.raises(SearchSpaceError) as caught:
            read({} if arguments else {"task.x": sweep}, *arguments)
        assert f"{origin}{sweep}" in str(caught.value)
        assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("search_space", "complaint"),
    [
        ({"task.x": 3}, "search_space: task.x: 3\n  is one value, not a sweep"),
        ({"task.x": "sgd"}, "is one value, not a sweep"),
        ({"task.x": None}, "is one value, not a sweep"),
        ({"task.x": []}, "has no choices"),
        ({"task.x": [[1, 2], 3]}, "has the choice [1, 2]"),
        (
            {"task.x": {"low": 1}},
            "search_space: task.x: low: 1\n  opens nothing; an option is followed by the keys",
        ),
        ([1, 2], "search_space must map keys to sweeps, but is [1, 2]"),
        ("interval(1, 2)", "search_space must map keys to sweeps"),
    ],
)
def test_an_entry_that_is_no_sweep_is_an_error_that_says_what_one_is(
    read: Read, search_space: Any, complaint: str
) -> None:
    with pytest.raises(SearchSpaceError) as caught:
        read(search_space)

    assert complaint in str(caught.value)


def test_nothing_to_search_is_an_empty_space(read: Read) -> None:
    assert read(None) == read({}) == SearchSpace()
