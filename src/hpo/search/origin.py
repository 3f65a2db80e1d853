"""Where a configuration's values stand: the files of the config groups' options."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

# what may hold an entry of the search space; what comes later overrides what comes before
_GROUPS_OF_A_SPACE = ("experiment", "search_space")


def option_of(config: DictConfig, group: str) -> str | None:
    """The option of a config group that the configuration was composed with."""
    option = (OmegaConf.select(config, "hydra.runtime.choices") or {}).get(group)
    return str(option) if option else None


def file_of(group: str, option: str, loader: ConfigLoader) -> Path | None:
    """The YAML file of a group's option: the first one on Hydra's search path."""
    for entry in loader.get_search_path().get_path():
        provider, _, path = str(entry.path).partition("://")
        folder = _folder(provider, path)
        file = folder / group / f"{option}.yaml" if folder else None
        if file is not None and file.is_file():
            return file
    return None


def file_of_entry(key: str, config: DictConfig, loader: ConfigLoader) -> Path | None:
    """The file that has an entry of the search space, where it is that of a group."""
    for group in _GROUPS_OF_A_SPACE:
        option = option_of(config, group)
        file = file_of(group, option, loader) if option else None
        if file and re.search(rf"^\s*['\"]?{re.escape(key)}['\"]?\s*:", file.read_text(encoding="utf-8"), re.M):
            return file
    return None


def _folder(provider: str, path: str) -> Path | None:
    if provider == "file":
        return Path(path)
    if provider != "pkg":
        return None
    try:
        return Path(str(files(path)))
    except (ImportError, TypeError):
        return None
