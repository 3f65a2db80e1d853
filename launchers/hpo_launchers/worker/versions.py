"""What must be the same in the scheduler and the processes of its trials: pickles cross from one to the other."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version

_PACKAGES = ("hpo", "hydra-core", "omegaconf", "cloudpickle")


def versions() -> dict[str, str]:
    """Those of this process."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: version(name) for name in _PACKAGES}}


def misfit(theirs: Mapping[str, str], here: Mapping[str, str]) -> str | None:
    """In what `here` differs from the scheduler's versions; None where all are the same."""
    different = [
        f"{name} {here.get(name)} and not {there}" for name, there in theirs.items() if here.get(name) != there
    ]
    return ", ".join(different) or None
