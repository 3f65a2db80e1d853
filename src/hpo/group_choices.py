"""Finds the argument that chooses an option of a config group by what is no name: Hydra names neither."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from hpo.errors import ConfigError
from hpo.search_path import CONFIG_MODULE


def wrong_choice(arguments: Sequence[str]) -> ConfigError | None:
    """The mistake in words, for the first such argument; None where each group is given names."""
    try:
        overrides = OverridesParser.create().parse_overrides([text for text in arguments if text[:1] != "-"])
        with initialize_config_module(CONFIG_MODULE):
            loader = GlobalHydra.instance().config_loader()
            for override in overrides:
                if _has_no_name(override):
                    options = loader.get_group_options(override.key_or_group, ObjectType.CONFIG)
                    if options:
                        return _mistake(override, options)
    except HydraException:
        return None
    return None


def _has_no_name(override: Override) -> bool:
    if override.is_sweep_override() or (override.is_delete() and override.value() is None):
        return False
    value: Any = override.value()
    if isinstance(value, list) and not override.is_delete():
        return not all(isinstance(each, str) for each in value)
    return not isinstance(value, str | dict)


def _mistake(override: Override, options: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"{override.input_line}: {override.key_or_group} takes the name of one of its options, "
        f"and {override.get_value_element_as_str()} is none; there are: {', '.join(sorted(options))}"
    )
