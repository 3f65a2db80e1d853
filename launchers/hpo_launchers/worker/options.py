"""The options of a launcher, as Hydra hands them over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from hpo.errors import ConfigError
from hpo.keys import nearest, unknown


def check_known(name: str, given: Mapping[str, Any], schema: type) -> None:
    """Raise ConfigError for an option that `schema`, the dataclass of `hydra/launcher=name`, does not have."""
    for key, known in unknown(given, schema):
        options = [each for each in known if each != "_target_"]
        of_others = [each for each in _launchers_with(key) if each != name]
        hint = f"; it is one of hydra/launcher={', '.join(of_others)}" if of_others else nearest(key, options)
        raise ConfigError(
            f"hydra.launcher.{key}: hydra/launcher={name} has no such option{hint}. "
            + (f"It has {', '.join(options)}" if options else "It has none")
        )


def _launchers_with(key: str) -> list[str]:
    """The launchers of which such an option is known."""
    nodes: Any = ConfigStore.instance().repo["hydra"]["launcher"]
    return sorted(name.removesuffix(".yaml") for name, stored in nodes.items() if key in stored.node)


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
