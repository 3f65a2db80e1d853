from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hydra.utils import execution_whitelist
from omegaconf import DictConfig, OmegaConf

from hpo.errors import ConfigError
from hpo.search.constraints import HardConstraints
from hpo.targets import BUILT_IN

RULES = "tests.search.rules"
WIDTH, LR, MOMENTUM = "model_config.hidden_size", "optimizer_config.lr", "optimizer_config.momentum"


@pytest.fixture(scope="module")
def mnist(compose_run: Callable[..., DictConfig]) -> DictConfig:
    return compose_run("+experiment=mnist", hydra=True)


@pytest.fixture(autouse=True)
def rules_may_run() -> Iterator[None]:
    with execution_whitelist((*BUILT_IN, f"{RULES}.*")):
        yield


@pytest.mark.parametrize(
    ("text", "params", "holds"),
    [
        (f"{WIDTH} <= 64", {WIDTH: 64}, True),
        (f"{WIDTH} <= 64", {WIDTH: 65}, False),
        (f"{WIDTH} * {LR} < 1", {WIDTH: 64, LR: 0.5}, False),
        # what is not searched has its configured value
        ("train_config.batch_size == 32 and train_config.epochs == 10", {}, True),
        ("optimizer_config.betas[1] < 0.999", {}, False),
        ("len(optimizer_config.betas) == 2", {}, True),
        ("amp == 'none'", {}, True),
        ("train_config.clip_grad_norm == null", {}, True),
        # a group stands for its option
        ("optimizer_config == 'adam' and scheduler_config == 'none'", {}, True),
        ("optimizer_config == 'sgd'", {"optimizer_config": "sgd"}, True),
        ("optimizer_config != 'sgd' or train_config.batch_size > 32", {"optimizer_config": "sgd"}, False),
        # a subspace that was not chosen
        (f"{MOMENTUM} < 0.5", {"optimizer_config": "adam"}, True),
        (f"{MOMENTUM} < 0.5", {"optimizer_config": "sgd", MOMENTUM: 0.9}, False),
        (f"{WIDTH} < 1 and {MOMENTUM} < 0.5", {WIDTH: 64}, True),
        # a key that the search adds, and an element of a list that it varies
        ("optimizer_config.maximize == false", {"+optimizer_config.maximize": True}, False),
        ("sum(optimizer_config.betas) < 1", {"optimizer_config.betas.0": 0.0}, True),
        ("sum(optimizer_config.betas) < 1", {"optimizer_config.betas.0": 0.1}, False),
    ],
)
def test_a_proposal_keeps_a_constraint_or_breaks_it(
    mnist: DictConfig, text: str, params: dict[str, Any], holds: bool
) -> None:
    keys = {WIDTH, *params, *([MOMENTUM] if MOMENTUM in text else [])}
    constraints = HardConstraints.of([text], mnist, keys)

    assert constraints.broken(params) == (None if holds else text)


def test_what_an_option_searches_has_its_configured_value_where_that_is_not_chosen() -> None:
    config = OmegaConf.create({"kind": "a", "size": 8})
    constraints = HardConstraints.of(["size < 10"], config, ["kind", "size"])

    assert constraints.broken({"kind": "b", "size": 12}) == "size < 10"
    assert constraints.broken({"kind": "a"}) is None
    config.size = 12
    assert HardConstraints.of(["size < 10"], config, ["kind", "size"]).broken({"kind": "a"}) == "size < 10"


def test_what_only_another_option_of_a_group_has_is_no_value_of_this_one(
    compose_run: Callable[..., DictConfig],
) -> None:
    config = compose_run("+experiment=mnist", "optimizer_config=sgd", "optimizer_config.momentum=0.9", hydra=True)
    constraints = HardConstraints.of([f"{MOMENTUM} < 0.5"], config, ["optimizer_config", MOMENTUM])

    assert constraints.broken({"optimizer_config": "adam"}) is None
    assert constraints.broken({"optimizer_config": "sgd", MOMENTUM: 0.9}) == f"{MOMENTUM} < 0.5"


def test_the_first_that_is_broken_is_told(mnist: DictConfig) -> None:
    node = {"_target_": f"{RULES}.at_most", "key": WIDTH, "limit": 32}
    constraints = HardConstraints.of([f"{WIDTH} > 1", node, f"{WIDTH} < 8"], mnist, [WIDTH])

    assert constraints.broken({WIDTH: 4}) is None
    assert constraints.broken({WIDTH: 16}) == f"{WIDTH} < 8"
    assert constraints.broken({WIDTH: 64}) == f"{RULES}.at_most(key='{WIDTH}', limit=32)"
    assert HardConstraints.of([], mnist, [WIDTH]).broken({WIDTH: 4}) is None


def test_constraints_are_read_as_they_stand_in_the_configuration(mnist: DictConfig) -> None:
    config = OmegaConf.create(
        {"limit": 8, "constraints": ["a < 2", {"_target_": f"{RULES}.at_most", "key": "a", "limit": "${limit}"}]}
    )
    constraints = HardConstraints.of(config.constraints, mnist, ["+a"])

    assert constraints.broken({"+a": 1}) is None
    assert constraints.broken({"+a": 9}) == "a < 2"


def test_an_interpolation_follows_what_the_proposal_changes() -> None:
    config = OmegaConf.create({"width": 8, "net": {"width": "${width}", "depth": 2}, "widths": ["${width}", 1]})
    constraints = HardConstraints.of(["net.width < 10", "max(widths) < 20"], config, ["width"])

    assert constraints.broken({"width": 9}) is None
    assert constraints.broken({"width": 10}) == "net.width < 10"
    assert config.width == 8


@pytest.mark.parametrize(
    ("node", "complaint"),
    [
        ("model_config.hiden_size < 1", f"has a key model_config.hiden_size; the nearest are: {WIDTH}"),
        ("optimizer_config.momentun < 1", f"has a key optimizer_config.momentun; the nearest are: {MOMENTUM}"),
        ("optimizer_config.betas[7] < 1", "has a key optimizer_config.betas.7"),
        ("val_loss < 1", "has a key val_loss"),
        (f"{WIDTH} <", f"constraints[1]: the expression '{WIDTH} <' cannot be read"),
        ("open('x')", "`open('x')` is not allowed"),
        (True, "constraints[1]: True\nmust be an expression, or a node with the `_target_` of a function"),
        ({"limit": 3}, "must be an expression, or a node"),
        ({"_target_": f"{RULES}.nix"}, f"constraints[1] ({RULES}.nix) cannot be imported"),
        ({"_target_": "nix.nix"}, "constraints[1] (nix.nix) cannot be imported"),
        ({"_target_": f"{RULES}.takes_nothing"}, "as its first argument: too many positional arguments"),
        ({"_target_": f"{RULES}.at_most", "key": "x"}, "missing a required argument: 'limit'"),
        (
            {"_target_": f"{RULES}.at_most", "key": "x", "limit": 1, "size": 3},
            "got an unexpected keyword argument 'size'",
        ),
    ],
)
def test_what_cannot_be_a_constraint_is_an_error_before_anything_starts(
    mnist: DictConfig, node: Any, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        HardConstraints.of([f"{WIDTH} > 1", node], mnist, [WIDTH, MOMENTUM])

    assert str(caught.value).startswith("constraints[1]")
    assert complaint in str(caught.value)


def test_every_mistake_is_told_at_once(mnist: DictConfig) -> None:
    with pytest.raises(ConfigError) as caught:
        HardConstraints.of(["nix < 1", f"{WIDTH} > 1", "a = 1"], mnist, [WIDTH])

    assert "constraints[0]: nix < 1\nneither" in str(caught.value)
    assert "constraints[2]: the expression 'a = 1' cannot be read" in str(caught.value)


def test_a_key_below_a_searched_group_has_no_value_unless_it_is_searched(mnist: DictConfig) -> None:
    with pytest.raises(ConfigError, match=r"optimizer_config\.lr depends on the option of optimizer_config"):
        HardConstraints.of([f"{LR} < 1"], mnist, ["optimizer_config"])

    assert HardConstraints.of([f"{LR} < 1"], mnist, ["optimizer_config", LR]).broken({LR: 0.1}) is None


@pytest.mark.parametrize(
    ("node", "complaint"),
    [
        ("1 / x < 3", "1 / x < 3\ncannot be evaluated for x=0: ZeroDivisionError: division by zero"),
        ("x < name", "cannot be evaluated for name='mnist', x=0: TypeError: '<' not supported"),
        ("x + 1", "x + 1\nmust be true or false, but is 1 for x=0"),
        (
            {"_target_": f"{RULES}.at_most", "key": "nix", "limit": 1},
            "cannot be evaluated for x=0: KeyError: 'nix'",
        ),
        ({"_target_": f"{RULES}.forgotten"}, f"{RULES}.forgotten\nmust be true or false, but is None for x=0"),
    ],
)
def test_one_that_raises_is_found_with_samples(mnist: DictConfig, node: Any, complaint: str) -> None:
    constraints = HardConstraints.of(["x > 7", node], mnist, ["x"])
    with pytest.raises(ConfigError) as caught:
        constraints.check([{"x": 0}])
    assert str(caught.value).startswith("constraints[1]: ")
    assert complaint in str(caught.value)


def test_one_that_raises_in_the_middle_of_a_search_is_broken_and_says_why(mnist: DictConfig) -> None:
    constraints = HardConstraints.of(["x > -1", "1 / x < 3"], mnist, ["x"])

    assert constraints.broken({"x": 1}) is None
    assert constraints.broken({"x": 0}) == (
        "1 / x < 3, which cannot be evaluated for x=0: ZeroDivisionError: division by zero"
    )


def test_samples_of_which_none_raises_pass_though_they_break_a_constraint(mnist: DictConfig) -> None:
    constraints = HardConstraints.of(["1 / x < 3", {"_target_": f"{RULES}.numpy_truth"}], mnist, ["x"])

    constraints.check([{"x": 0.1}, {"x": 1}])


def test_all_that_raise_are_told_at_once_and_each_of_them_once(mnist: DictConfig) -> None:
    constraints = HardConstraints.of(["1 / x < 3", "x > 0", "x + 1"], mnist, ["x"])

    with pytest.raises(ConfigError) as caught:
        constraints.check([{"x": 1}, {"x": 0}, {"x": 0}])

    assert [line for line in str(caught.value).splitlines() if line.startswith("constraints")] == [
        "constraints[0]: 1 / x < 3",
        "constraints[2]: x + 1",
    ]


def test_a_function_cannot_change_the_proposal(mnist: DictConfig) -> None:
    params = {"x": 1}
    constraints = HardConstraints.of([{"_target_": f"{RULES}.spoils"}, "x < 1"], mnist, ["x"])

    assert constraints.broken(params) == "x < 1"
    assert params == {"x": 1}
