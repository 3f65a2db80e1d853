"""Instantiates the nodes of a run configuration that the training loop is put together from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torchmetrics import Metric

from hpo.errors import ConfigError, HpoError


def is_node(node: Any) -> bool:
    """Whether there is anything to instantiate: a node without `_target_` stands for none."""
    return OmegaConf.is_dict(node) and node.get("_target_") is not None


def build(config: DictConfig, key: str) -> Any:
    """The object that `config[key]` describes. Raises ConfigError where it describes none or cannot be built."""
    with describe_failure(key, config[key]):
        return instantiate(_required(config, key), _convert_="all")


def build_partial(config: DictConfig, key: str) -> Callable[..., Any]:
    """What `config[key]` describes, waiting for the arguments that the loop has; `_partial_` may be left out."""
    with describe_failure(key, config[key]):
        # plain containers, since a checkpoint keeps an optimizer's arguments
        partial: Callable[..., Any] = instantiate(_required(config, key), _convert_="all", _partial_=True)

    def call(*arguments: Any, **named: Any) -> Any:
        with describe_failure(key, config[key]):
            return partial(*arguments, **named)

    return call


def build_metrics(config: DictConfig, device: torch.device) -> dict[str, Metric]:
    """A fresh set of the configured metrics, in their order."""
    metrics = {}
    for name, node in config.metrics.items():
        if not is_node(node):
            continue
        if name == "loss":
            raise ConfigError("metrics.loss: the loss is recorded by itself; give the metric another name")
        with describe_failure(f"metrics.{name}", node):
            metrics[str(name)] = instantiate(node, _convert_="all").to(device)
    return metrics


@contextmanager
def describe_failure(key: str, node: Any) -> Iterator[None]:
    """Make of what goes wrong in the block a ConfigError that names the key and its target."""
    try:
        yield
    except Exception as error:
        cause: BaseException = error
        # Hydra wraps what a target raises, and says the rest in words that are not the user's
        while cause.__cause__ is not None and not isinstance(cause, HpoError):
            cause = cause.__cause__
        if isinstance(cause, ConfigError) and str(cause).startswith(key.partition(".")[0]):
            raise cause from error
        said = str(cause) if isinstance(cause, HpoError) else f"{type(cause).__name__}: {cause}"
        raise ConfigError(f"{key} ({_shown(node)}) cannot be built: {said}") from error


def _shown(node: Any) -> str:
    """A node's target with the values that it is called with."""
    if not OmegaConf.is_dict(node):
        return str(node)
    values = {str(name): node.get(name) for name in node if not str(name).startswith("_")}
    spelled = [f"{name}={value!r}" for name, value in values.items() if not OmegaConf.is_config(value)]
    return f"{node.get('_target_')}: {', '.join(spelled)}" if spelled else str(node.get("_target_"))


def _required(config: DictConfig, key: str) -> Any:
    if not is_node(config[key]):
        raise ConfigError(f"{key} has no _target_, and the training loop needs one; choose an option: {key}=...")
    return config[key]
