"""Which `_target_`s may run: hpo's own surroundings, and what the user's project declares."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hpo.errors import ConfigError, TargetError

BUILT_IN = (
    "hpo.*",
    "hpo_launchers.*",
    "torch.nn.*",
    "torch.optim.*",
    "torch.utils.data.*",
    "torchmetrics.*",
    "optuna.*",
    "hydra_plugins.hydra_optuna_sweeper.*",
)
PROJECT_FILE = "pyproject.toml"
TRAINING_LOOP = "hpo.training.loop.train"
"""The task that ships with hpo."""


@cache
def allowed_targets(start: Path | None = None) -> tuple[str, ...]:
    """The patterns of allowed targets for a command that runs in `start` (the working directory)."""
    project = project_file(start or Path.cwd())
    if project is None:
        return BUILT_IN
    try:
        table = tomllib.loads(project.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"cannot read {project}: {error}") from error
    ours = table.get("tool", {}).get("hpo", {})
    if not isinstance(ours, dict):
        raise ConfigError(f"[tool.hpo] in {project} must be a table, but is {ours!r}")
    declared = ours.get("allow_targets", [])
    if not isinstance(declared, list) or not all(isinstance(item, str) for item in declared):
        raise ConfigError(
            f"[tool.hpo] allow_targets in {project} must be a list of strings such as "
            f'"mypackage.*", but is {declared!r}'
        )
    return (*BUILT_IN, *declared)


def project_file(start: Path) -> Path | None:
    """The nearest pyproject.toml at or above `start`."""
    for folder in (start, *start.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder / PROJECT_FILE
    return None


def is_allowed(target: str, patterns: tuple[str, ...]) -> bool:
    return any(
        target.startswith(pattern[:-1]) if pattern.endswith(".*") else target == pattern for pattern in patterns
    )


def check_targets(config: DictConfig) -> None:
    """Raise TargetError for the first `_target_` in `config` that is not allowed to run."""
    patterns = allowed_targets()
    for key, target in _checked(OmegaConf.to_container(config, resolve=False)):
        if target.startswith("${"):
            target = str(OmegaConf.select(config, f"{key}._target_"))
        if not is_allowed(target, patterns):
            project = project_file(Path.cwd()) or Path.cwd() / PROJECT_FILE
            declared = (*patterns[len(BUILT_IN) :], f"{target.split('.')[0]}.*")
            quoted = ", ".join(f'"{pattern}"' for pattern in declared)
            raise TargetError(
                f"{key}._target_ is {target!r}, which is not declared as allowed to run.\n"
                f"Let it, with this line under [tool.hpo] in {project}:\n"
                f"    allow_targets = [{quoted}]"
            )


def _checked(values: Any) -> Iterator[tuple[str, str]]:
    """The targets that run in an experiment; of Hydra's own node these are the sampler's."""
    hydra = values.get("hydra", {})
    yield from find_targets({key: value for key, value in values.items() if key != "hydra"})
    yield from find_targets(hydra.get("sweeper", {}).get("sampler"), "hydra.sweeper.sampler")


def find_targets(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every `(key, target)` below `node`; an interpolation is given as it is written."""
    if isinstance(node, dict):
        target = node.get("_target_")
        if isinstance(target, str):
            yield key, target
        for name, child in node.items():
            yield from find_targets(child, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from find_targets(child, f"{key}[{index}]")
