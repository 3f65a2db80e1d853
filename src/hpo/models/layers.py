"""Layers that a model's configuration chooses by name, and what its inputs and sizes are held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from torch import Tensor, nn

from hpo.errors import ConfigError

_T = TypeVar("_T")

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
}

# 32 as in the paper; narrower layers, and widths that it does not divide, get fewer
_MAX_GROUPS = 32


def group_norm(num_channels: int) -> nn.GroupNorm:
    """Group normalization (Wu and He, 2018) in up to 32 groups."""
    return nn.GroupNorm(math.gcd(num_channels, _MAX_GROUPS), num_channels)


def activation(name: str) -> nn.Module:
    return choice("activation", name, ACTIVATIONS)()


def choice(argument: str, name: str | None, options: Mapping[str | None, _T] | Mapping[str, _T]) -> _T:
    """The option called `name`. Raises ConfigError that lists all of them."""
    for option, value in options.items():
        if option == name:
            return value
    allowed = ", ".join("null" if option is None else option for option in options)
    raise ConfigError(f"{argument} {name!r} is unknown; choose one of {allowed}")


def check_at_least(minimum: int, **sizes: int) -> None:
    """Raise ConfigError for the first size that is below `minimum`."""
    for name, size in sizes.items():
        if size < minimum:
            raise ConfigError(f"{name} must be at least {minimum}, but is {size}")


def check_images(inputs: Tensor, expected: Iterable[int | str], model: str) -> None:
    """Raise ConfigError unless `inputs` are (N, *expected); a letter stands for any number."""
    sizes = tuple(expected)
    if inputs.ndim == len(sizes) + 1 and all(
        isinstance(size, str) or size == given for size, given in zip(sizes, inputs.shape[1:], strict=True)
    ):
        return
    raise ConfigError(
        f"{model} expects images of shape (N, {', '.join(map(str, sizes))}), but got {tuple(inputs.shape)}; "
        "see model_config and data_config"
    )
