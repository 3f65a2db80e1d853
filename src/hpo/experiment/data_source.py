"""Finds the data once, in the scheduler, so that every trial trains on the same."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig

from hpo.errors import ConfigError
from hpo.nodes import describe_failure, is_node
from hpo.records import DataSource


def find_data_source(config: DictConfig) -> DataSource | None:
    """The source of data_config's data module; None without one, or when it cannot tell.

    In a dry run it is what the module's `preview` says, where it has one: `source` may download.

    Raises DataError where there is no data, ConfigError when the module cannot be built.
    """
    node = config.data_config
    if not is_node(node):
        return None
    with describe_failure("data_config", node):
        module = instantiate(node)
    find = getattr(module, "source", None)
    if config.dry_run:
        find = getattr(module, "preview", find)
    if not callable(find):
        return None
    with describe_failure("data_config", node, "cannot find its data"):
        source = find()
    if not isinstance(source, DataSource):
        raise ConfigError(
            f"data_config ({node._target_}): source() must return a hpo.records.DataSource, not {source!r}"
        )
    return source
