"""Packages that only one recorder needs."""

from __future__ import annotations

import importlib
from typing import Any

from hpo.errors import ConfigError


def import_extra(module: str, extra: str, recorder: str) -> Any:
    """The module of an extra. Raises ConfigError with the line that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"recorder={recorder} needs {error.name}, which is not installed: pip install 'hpo[{extra}]'"
        ) from error
