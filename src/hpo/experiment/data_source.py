"""Finds the data once, in the scheduler, so that every trial trains on the same."""

from __future__ import annotations

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hpo.errors import ConfigError, HpoError
from hpo.records import DataSource


def find_data_source(config: DictConfig) -> DataSource | None:
    """The source of data_config's data module; None without one, or when it cannot tell.

    In a dry run it is what the module's `preview` says, where it has one: `source` may download.

    Raises DataError where there is no data, ConfigError when the module cannot be built.
    """
    node = config.data_config
    if not OmegaConf.is_dict(node) or node.get("_target_") is None:
        return None
    try:
        module = instantiate(node)
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, HpoError):
            cause = cause.__cause__
        raise cause or ConfigError(f"data_config ({node._target_}) cannot be built: {error}") from error
    find = getattr(module, "source", None)
    if config.dry_run:
        find = getattr(module, "preview", find)
    return find() if callable(find) else None
