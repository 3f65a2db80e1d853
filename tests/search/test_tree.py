"""Structured spaces: choices whose options open further ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf, flag_override
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler

from hpo.errors import SearchSpaceError
from hpo.search.check import read_checked_space
from hpo.search.tree import SearchSpace

OPTIMIZERS: dict[str, Any] = {
    "model_config.hidden_size": "int(interval(32, 512))",
    "optimizer_config": {
        "sgd": {
            "optimizer_config.momentum": "interval(0.0, 0.99)",
            "optimizer_config.nesterov": {
                True: {"optimizer_config.weight_decay": "interval(0.0, 0.5)"},
                False: None,
            },
        },
        "adamw": {
            "optimizer_config.weight_decay": "tag(log, interval(1e-5, 1e-1))",
            "optimizer_config.fused": False,
        },
    },
}

Read = Callable[..., SearchSpace]


@pytest.fixture(scope="module")
def mnist(compose_run: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    return lambda *overrides: compose_run(
        "+experiment=mnist", "search_space=none", "optimizer_config=sgd", *overrides, hydra=True
    )


@pytest.fixture
def read(mnist: Callable[..., DictConfig], loader: ConfigLoader) -> Read:
    """`read({...}, "command", "line")`: read and checked, as the sweep does."""

    def of(search_space: dict[str, Any], *arguments: str) -> SearchSpace:
        config = mnist(*(argument for argument in arguments if "(" not in argument and "," not in argument))
        with flag_override(config, ["struct", "readonly"], False):
            OmegaConf.update(config, "search_space", search_space, merge=False)
        return read_checked_space(config, list(arguments), loader)

    return of


def proposals(space: SearchSpace, count: int = 40) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=RandomSampler(seed=1))
    return [space.suggest(study.ask()) for _ in range(count)]


def test_a_parameter_of_an_option_that_is_not_chosen_is_neither_sampled_nor_set(read: Read) -> None:
    study = optuna.create_study(sampler=RandomSampler(seed=1))
    space = read(OPTIMIZERS)
    ways = set()

    for _ in range(40):
        trial = study.ask()
        params = space.suggest(trial)
        sampled = {name.rpartition("/")[2] for name in trial.params}
        assert sampled == params.keys() - {"optimizer_config.fused"}
        ways.add(tuple(params))

    size, option = "model_config.hidden_size", "optimizer_config"
    assert ways == {
        (size, option, f"{option}.momentum", f"{option}.nesterov"),
        (size, option, f"{option}.momentum", f"{option}.nesterov", f"{option}.weight_decay"),
        (size, option, f"{option}.weight_decay", f"{option}.fused"),
    }


def test_a_key_that_branches_search_in_different_ways_has_a_name_for_each(read: Read) -> None:
    assert list(read(OPTIMIZERS).distributions) == [
        "model_config.hidden_size",
        "optimizer_config",
        "optimizer_config.momentum",
        "optimizer_config.nesterov",
        "optimizer_config=sgd/optimizer_config.nesterov=true/optimizer_config.weight_decay",
        "optimizer_config=adamw/optimizer_config.weight_decay",
    ]


def test_what_is_written_down_reads_as_the_same_space(read: Read) -> None:
    space = read(OPTIMIZERS)

    again = read(space.sweeps)

    assert again.distributions == space.distributions
    assert proposals(again) == proposals(space)


def test_the_names_of_a_trial_give_its_keys_and_back(read: Read) -> None:
    space = read(OPTIMIZERS)
    for params in proposals(space):
        names = space.names(params)
        assert space.params(names) == params


def test_a_pinned_option_leaves_the_space_and_what_it_opens_stays(read: Read) -> None:
    space = read(OPTIMIZERS, "optimizer_config=adamw")

    assert list(space.distributions) == ["model_config.hidden_size", "optimizer_config.weight_decay"]
    assert space.fixed == space.pinned == ("optimizer_config=adamw",)
    assert proposals(space, 1)[0]["optimizer_config.fused"] is False


def test_a_pinned_key_of_an_option_is_set_for_each_option_that_has_it(read: Read) -> None:
    space = read(OPTIMIZERS, "optimizer_config.weight_decay=0.25")

    assert space.fixed == ()
    assert space.pinned == ("optimizer_config.weight_decay=0.25",)
    assert {params["optimizer_config.weight_decay"] for params in proposals(space)} == {0.25}
    assert {params["optimizer_config"] for params in proposals(space)} == {"sgd", "adamw"}

    momentum = read(OPTIMIZERS, "optimizer_config.momentum=0.5")
    for params in proposals(momentum):
        assert params.get("optimizer_config.momentum") == {"sgd": 0.5, "adamw": None}[params["optimizer_config"]]


def test_a_sweep_on_the_command_line_replaces_a_nested_one_and_options_keep_what_they_open(read: Read) -> None:
    space = read(OPTIMIZERS, "optimizer_config.momentum=choice(0.5,0.9)", "optimizer_config=sgd,adam")

    assert space.distributions["optimizer_config"] == CategoricalDistribution(["sgd", "adam"])
    assert space.distributions["optimizer_config.momentum"] == CategoricalDistribution([0.5, 0.9])
    assert "adamw" not in str(space.sweeps)


@pytest.mark.parametrize(
    ("search_space", "complaints"),
    [
        ({"optimizer_config": {"sdg": None, "adam": None}}, ["has no option 'sdg' (did you mean sgd?)"]),
        (
            {"optimizer_config": {"sgd": {"optimizer_config.momentun": "interval(0, 1)"}}},
            ["with optimizer_config=sgd the configuration has no key optimizer_config.momentun; the nearest are"],
        ),
        (
            {"optimizer_config": {"adam": {"optimizer_config.momentum": "interval(0, 1)"}}},
            ["search_space: optimizer_config: adam: optimizer_config.momentum: interval(0, 1)", "has no key"],
        ),
        (
            {"optimizer_config": ["sgd", "adam"], "optimizer_config.momentum": "interval(0, 1)"},
            ["with optimizer_config=adam the configuration has no key optimizer_config.momentum; put it below"],
        ),
        (
            {
                "optimizer_config": {"sgd": {"optimizer_config.lr": "interval(0, 1)"}},
                "optimizer_config.lr": [1, 2],
            },
            ["a trial would get optimizer_config.lr twice"],
        ),
        (
            {"optimizer_config": {"sgd": {"optimizer_config.nesterov": ["yes", "no"]}}},
            ["'yes' is a string, but optimizer_config.nesterov is a boolean"],
        ),
        (
            {
                "optimizer_config": {"sgd": {"optimizer_config.momentum": "intervall(0, 1)"}, "rmsprob": None},
                "model_config.nix": [1, 2],
            },
            ["Unknown function 'intervall'", "has no option 'rmsprob'", "has no key model_config.nix"],
        ),
    ],
)
def test_all_that_is_wrong_is_told_at_once(
    read: Read, search_space: dict[str, Any], complaints: list[str]
) -> None:
    with pytest.raises(SearchSpaceError) as caught:
        read(search_space)

    for complaint in complaints:
        assert complaint in str(caught.value)


def test_an_override_that_an_option_cannot_take_is_told_before_anything_starts(read: Read) -> None:
    with pytest.raises(SearchSpaceError, match=r"optimizer_config=adam does not compose: .*momentum"):
        read({"optimizer_config": ["sgd", "adam"]}, "optimizer_config.momentum=0.5")


def test_the_file_that_holds_a_wrong_entry_is_named(
    compose_run: Callable[..., DictConfig], loader: ConfigLoader
) -> None:
    config = compose_run("+experiment=mnist", "model_config=lenet5", hydra=True)

    with pytest.raises(SearchSpaceError, match=r"model_config.hidden_size.*search_space/mnist\.yaml\)\n"):
        read_checked_space(config, ["model_config=lenet5"], loader)


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"optimizer_config": "rmsprop"}, "optimizer_config=rmsprop is outside the search space: sgd, adamw"),
        ({"model_config.hidden_size": 8}, "model_config.hidden_size=8 is outside"),
        ({"model_config.hidden_size": 64.5}, "model_config.hidden_size=64.5 is outside"),
        ({"optimizer_config.momentum": 0.5}, "belongs to optimizer_config=sgd, which is not chosen"),
        ({"optimizer_config": "adamw", "optimizer_config.fused": True}, "fused=true is outside"),
        ({"task.x": 1}, "task.x is not in the search space; there is: model_config.hidden_size, optimizer"),
    ],
)
def test_a_configuration_outside_the_space_is_refused(read: Read, params: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SearchSpaceError) as caught:
        read(OPTIMIZERS).names(params)
    assert complaint in str(caught.value)


def test_a_value_is_taken_as_the_one_of_the_space_that_equals_it() -> None:
    space = SearchSpace.of(
        {
            "lr": FloatDistribution(0.0, 2.0),
            "n": IntDistribution(1, 9),
            "d": CategoricalDistribution([2, "1", None]),
        }
    )

    names = space.names({"lr": 1, "n": 3.0, "d": 2.0})

    assert [(key, type(value)) for key, value in names.items()] == [("lr", float), ("n", int), ("d", int)]
    assert space.names({"d": None}) == {"d": None}
    with pytest.raises(SearchSpaceError):
        space.names({"d": 1})
