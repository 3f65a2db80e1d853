"""Nodes of a configuration that Hydra instantiates, and what is told when one cannot be."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.utils import get_object
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
        if isinstance(cause, HpoError):
            said = str(cause)
        else:
            said = (is_node(node) and missing_name(node["_target_"])) or spelled(cause)
        raise ConfigError(f"{key} ({shown(node)}) {failure}: {said}") from error


def missing_name(target: Any) -> str | None:
    """What is wrong with a target whose module imports and does not have the name; None where that is not it."""
    module_name, _, name = str(target).rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception:
        return None
    if hasattr(module, name):
        return None
    near = difflib.get_close_matches(name, [other for other in dir(module) if not other.startswith("_")], n=1)
    return f"{module_name} has no {name}" + (f" (did you mean {near[0]}?)" if near else "")


def what_it_takes(target: Any) -> str:
    """The names of a target's parameters."""
    try:
        parameters = inspect.signature(get_object(str(target))).parameters
    except Exception:
        return "?"
    return ", ".join(name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD) or "nothing"


def cannot_be_built(key: str, node: Any, error: Exception) -> str:
    """Why, with the values that were given and the names of those that there are."""
    target = node.get("_target_")
    cause = error.__cause__ or error
    said = missing_name(target) or f"{cause}; it takes: {what_it_takes(target)}"
    return f"{key} ({shown(node)}): {said}"


def shown(node: Any) -> str:
    """A node's target with the values that it is called with."""
    if not OmegaConf.is_dict(node):
        return str(node)
    values = {str(name): node.get(name) for name in node if not str(name).startswith("_")}
    spelled = [f"{name}={value!r}" for name, value in values.items() if not OmegaConf.is_config(value)]
    return f"{node.get('_target_')}: {', '.join(spelled)}" if spelled else str(node.get("_target_"))


def _names(error: ConfigError, key: str) -> bool:
    return str(error).startswith(key.partition(".")[0])
