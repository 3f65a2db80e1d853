"""Finds the data once, in the scheduler, so that every trial trains on the same."""

from __future__ import annotations

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hpo.errors import DataError, HpoError
from hpo.records import DataSource


def find_data_source(config: DictConfig) -> DataSource | None:
    """The source of data_config's data module; None without one, or when it cannot tell.

    Raises DataError where there is no data.
    """
    node = config.data_config
    if not OmegaConf.is_dict(node) or node.get("_target_") is None:
        return None
    try:
        module = instantiate(node)
    except InstantiationException as error:
        cause = error.__cause__
        while cause is not None and not isinstance(cause, HpoError):
            cause = cause.__cause__
        raise cause or DataError(f"data_config cannot be instantiated: {error}") from error
    find = getattr(module, "source", None)
    return find() if callable(find) else None
