"""The options of a launcher, as Hydra hands them over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from hpo.errors import ConfigError


def plain(given: Mapping[str, Any], mappings: Sequence[str]) -> dict[str, Any]:
    """The options as plain values; of the `mappings` null is an empty one.

    Those are null by default: with `{}` a mapping on the command line would need a plus before its key.

    Raises ConfigError for one of them that is no mapping.
    """
    options: dict[str, Any] = {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in given.items()
    }
    for key in mappings:
        options[key] = {} if options[key] is None else options[key]
        if not isinstance(options[key], dict):
            raise ConfigError(f"hydra.launcher.{key}={options[key]} must be a mapping: {{name: value}}")
    return options
