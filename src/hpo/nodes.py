"""Nodes of a configuration that Hydra instantiates, and what is told when one cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import OmegaConf

from hpo.errors import ConfigError, DataError, HpoError, spelled


def is_node(node: Any) -> bool:
    """Whether there is anything to instantiate: a node without `_target_` stands for none."""
    return OmegaConf.is_dict(node) and node.get("_target_") is not None


@contextmanager
def describe_failure(key: str, node: Any, failure: str = "cannot be built") -> Iterator[None]:
    """Make of what goes wrong in the block a ConfigError that names the key and its target."""
    try:
        yield
    except Exception as error:
        cause: BaseException = error
        # Hydra wraps what a target raises, and says the rest in words that are not the user's
        while cause.__cause__ is not None and not isinstance(cause, HpoError):
            cause = cause.__cause__
        if isinstance(cause, DataError) or (isinstance(cause, ConfigError) and _names(cause, key)):
            raise cause from error
        said = str(cause) if isinstance(cause, HpoError) else spelled(cause)
        raise ConfigError(f"{key} ({_shown(node)}) {failure}: {said}") from error


def _names(error: ConfigError, key: str) -> bool:
    return str(error).startswith(key.partition(".")[0])


def _shown(node: Any) -> str:
    """A node's target with the values that it is called with."""
    if not OmegaConf.is_dict(node):
        return str(node)
    values = {str(name): node.get(name) for name in node if not str(name).startswith("_")}
    spelled = [f"{name}={value!r}" for name, value in values.items() if not OmegaConf.is_config(value)]
    return f"{node.get('_target_')}: {', '.join(spelled)}" if spelled else str(node.get("_target_"))
