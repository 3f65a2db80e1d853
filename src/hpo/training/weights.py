"""A model's weights: taken from a checkpoint, and averaged over its steps."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hpo.errors import ConfigError

logger = logging.getLogger("hpo.train")

_NUM_NAMED = 5


def moving_average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """The exponential moving average of the weights and buffers. Raises ConfigError for a decay that is none."""
    if decay is None:
        return None
    if not 0 < decay < 1:
        raise ConfigError(f"train_config.ema_decay={decay} must lie between 0 and 1, both excluded")
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch declares no types for it
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def load_weights(model: nn.Module, path: Path, *, strict: bool) -> None:
    """Take the weights in a checkpoint of hpo's, or in a bare state dict.

    Raises ConfigError when the file holds none, and, when `strict`, for every parameter that does not match;
    otherwise these are left as they are, and said in the log.
    """
    given = _state_dict(path)
    own = model.state_dict()
    misfits = [
        *(f"{name} is missing" for name in own if name not in given),
        *(f"{name} is not in the model" for name in given if name not in own),
        *(
            f"{name} has the shape {tuple(given[name].shape)}, in the model it is {tuple(own[name].shape)}"
            for name in own
            if name in given and given[name].shape != own[name].shape
        ),
    ]
    if misfits and strict:
        raise ConfigError(
            f"init_chkpt={path} does not match {type(model).__name__}: {_listed(misfits)}.\n"
            "Take the parameters that match, and leave the others, with init_chkpt_strict=false"
        )
    fitting = {name: given[name] for name in own if name in given and given[name].shape == own[name].shape}
    if not fitting:
        raise ConfigError(f"init_chkpt={path} has no parameter of {type(model).__name__}: {_listed(misfits)}")
    model.load_state_dict(fitting, strict=False)
    logger.info("init_chkpt %s: took %d of %d parameters and buffers", path, len(fitting), len(own))
    for misfit in misfits:
        logger.warning("init_chkpt %s: %s", path, misfit)


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        found: Any = torch.load(path, map_location="cpu")
    except FileNotFoundError as error:
        raise ConfigError(f"init_chkpt={path}: there is no such file") from error
    except Exception as error:  # whatever a damaged file makes of torch.load
        first_line = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"init_chkpt={path} cannot be read as a checkpoint by torch.load: {type(error).__name__}: {first_line}"
        ) from error
    weights = found.get("model", found) if isinstance(found, dict) else found
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ConfigError(
            f"init_chkpt={path} holds neither a checkpoint of hpo's (with the key model) nor a state dict"
        )
    return dict(weights)


def _listed(misfits: list[str]) -> str:
    more = f", and {len(misfits) - _NUM_NAMED} more" if len(misfits) > _NUM_NAMED else ""
    return ", ".join(misfits[:_NUM_NAMED]) + more
