"""Instantiates the nodes of a run configuration that the training loop is put together from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from hpo.errors import ConfigError
from hpo.nodes import describe_failure, is_node

if TYPE_CHECKING:
    from torchmetrics import Metric


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


def _required(config: DictConfig, key: str) -> Any:
    if not is_node(config[key]):
        raise ConfigError(f"{key} has no _target_, and the training loop needs one; choose an option: {key}=...")
    return config[key]
