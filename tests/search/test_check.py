from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf, flag_override

from hpo.errors import SearchSpaceError
from hpo.search.check import read_checked_space

Check = Callable[..., None]


@pytest.fixture(scope="module")
def mnist(compose_run: Callable[..., DictConfig]) -> DictConfig:
    return compose_run("+experiment=mnist", "search_space=none", hydra=True)


@pytest.fixture
def check(mnist: DictConfig, loader: ConfigLoader) -> Check:
    """`check({"model_config.hidden_size": ...})` against experiment=mnist."""

    def of(search_space: dict[str, Any], *arguments: str) -> None:
        config = mnist.copy()
        with flag_override(config, ["struct", "readonly"], False):
            OmegaConf.update(config, "search_space", search_space, merge=False)
        read_checked_space(config, arguments, loader)

    return of


@pytest.mark.parametrize(
    ("key", "sweep"),
    [
        ("model_config.hidden_size", "int(interval(32, 512))"),
        ("optimizer_config.lr", "int(interval(1, 2))"),  # an int widens to a float
        ("optimizer_config", ["sgd", "adamw"]),
        ("scheduler_config", "choice(none, step)"),
        ("model_config.dropout", [None, 0.1, 0.5]),
        ("optimizer_config.betas.0", "interval(0.8, 0.99)"),
        ("train_config.shuffle", [True, False]),
        ("train_config.batch_size", "choice(16, 32)"),
        ("loss_config.label_smoothing", "interval(0, 1)"),
        ("data_config.val_fraction", [0.1, 0.2, None]),
    ],
)
def test_a_sweep_that_fits_its_key_passes(check: Check, key: str, sweep: Any) -> None:
    check({key: sweep})


@pytest.mark.parametrize(
    ("key", "sweep", "complaint"),
    [
        ("model_config.hiden_size", "int(interval(1, 2))", "the nearest are: model_config.hidden_size"),
        ("optimiser_config.lr", "interval(0, 1)", "the nearest are: optimizer_config.lr"),
        ("optimiser_config", ["sgd", "adam"], "the nearest are: optimizer_config"),
        ("lr", "interval(0, 1)", "the configuration has no key lr"),
        ("optimizer_config.betas.7", "interval(0, 1)", "the configuration has no key optimizer_config.betas.7"),
        ("optimizer_config.lr.deep", "interval(0, 1)", "has no key optimizer_config.lr.deep"),
        (
            "optimizer_config",
            ["sgd", "adamm"],
            "has no option 'adamm' (did you mean adam?); there are: adam, adamw",
        ),
        ("optimizer_config", "interval(0, 1)", "is a config group; search it as a list of its options"),
        ("train_config", [1, 2], "train_config has no option 1"),
        ("metrics.accuracy", ["a", "b"], "is a whole node and not a group; name a key of it: _target_"),
        (
            "model_config.hidden_size",
            ["32", "64"],
            "'32' is a string, but model_config.hidden_size is a number (128)",
        ),
        ("model_config.hidden_size", [True, 64], "True is a boolean, but model_config.hidden_size is a number"),
        ("train_config.shuffle", [0, 2], "0 is a number, but train_config.shuffle is a boolean"),
        ("model_config._target_", [1, 2], "1 is a number, but model_config._target_ is a string"),
        ("train_config.batch_size", "interval(1, 2)", "train_config.batch_size cannot be 1.0"),
        ("train_config.batch_size", [None, 32], "train_config.batch_size cannot be None"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(check: Check, key: str, sweep: Any, complaint: str) -> None:
    with pytest.raises(SearchSpaceError) as caught:
        check({key: sweep})

    assert str(caught.value).startswith(f"search_space: {key}: ")
    assert complaint in str(caught.value)


def test_every_mistake_is_told_at_once_with_where_it_was_made(check: Check) -> None:
    with pytest.raises(SearchSpaceError) as caught:
        check(
            {"model_config.nix": "interval(0, 1)", "loss_config.label_smoothing": "interval(0, 1)"},
            "optimizer_config=a,b",
        )

    message = str(caught.value)
    assert "search_space: model_config.nix: interval(0, 1)\n  the configuration has no key" in message
    assert "command line: optimizer_config=a,b\n  optimizer_config has no option 'a'" in message
    assert "label_smoothing" not in message


def test_a_key_is_added_where_the_user_says_so(check: Check) -> None:
    check({}, "+optimizer_config.maximize=true,false")
    with pytest.raises(SearchSpaceError, match="leave out search_space"):
        check({}, "+search_space.model_config.dropout=interval(0,1)")
    with pytest.raises(SearchSpaceError, match="resnet"):
        check({}, "+model_config=resnet,vgg")
