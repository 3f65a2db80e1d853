"""What is looked at rather than compared: histograms of weights and gradients, the worst validation samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hpo.training.evaluate import evaluated
from hpo.training.ranks import rank_and_size
from hpo.training.setup import Setup
from hpo.training.step import Batch
from hpo.trial.protocol import Trial, VisualTrial

_IMAGES_NDIM = 4  # (N, channels, height, width)
_CHANNELS = (1, 3)
_NUM_GATHERED = 256
_WORST_TAG = "worst validation samples"


def log_histograms(trial: Trial, model: nn.Module, iteration: int) -> None:
    """The values of each parameter, and those of its gradient after the newest step."""
    if not isinstance(trial, VisualTrial):
        return
    tensors = {}
    for name, parameter in model.named_parameters():
        tensors[f"weights/{name}"] = _as_array(parameter)
        if parameter.grad is not None:
            tensors[f"gradients/{name}"] = _as_array(parameter.grad)
    trial.log_histograms(tensors, iteration)


def log_worst_images(trial: Trial, setup: Setup, num_images: int, iteration: int) -> None:
    """The validation samples of the highest loss, worst first, where the first input of a batch holds images."""
    if num_images < 1 or setup.val is None or not isinstance(trial, VisualTrial) or rank_and_size()[0]:
        return
    losses: list[Tensor] = []
    images: list[Tensor] = []
    with torch.no_grad(), evaluated(setup.step, setup.evaluated):
        for sample, image in _samples(setup):
            losses.append(setup.step.evaluate(sample).loss.float())
            images.append(image)
            if len(losses) >= _NUM_GATHERED + num_images:
                losses, images = _worst(losses, images, num_images)
    losses, images = _worst(losses, images, num_images)
    if images:
        trial.log_images(_WORST_TAG, _as_pictures(torch.stack(images)), iteration)


def _samples(setup: Setup) -> Iterator[tuple[Batch, Tensor]]:
    """Each validation sample as a batch of one, with its image."""
    assert setup.val is not None
    for batch in setup.val.whole().epoch(0):
        parts = list(batch.values()) if isinstance(batch, dict) else batch
        first = parts if isinstance(parts, Tensor) else parts[0]
        if not isinstance(first, Tensor) or first.ndim != _IMAGES_NDIM or first.shape[1] not in _CHANNELS:
            return
        for index in range(len(first)):
            yield _one(batch, index), first[index]


def _one(batch: Batch, index: int) -> Batch:
    if isinstance(batch, dict):
        return {key: value[index : index + 1] for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        return [value[index : index + 1] for value in batch]
    return batch[index : index + 1]


def _worst(losses: list[Tensor], images: list[Tensor], num_images: int) -> tuple[list[Tensor], list[Tensor]]:
    if not losses:
        return [], []
    order = torch.stack(losses).argsort(descending=True)[:num_images].tolist()
    return [losses[index] for index in order], [images[index] for index in order]


def _as_pictures(images: Tensor) -> NDArray[np.uint8]:
    """(N, channels, height, width) of any range as (N, height, width, channels), each from black to white."""
    values = images.float()
    low = values.amin(dim=(1, 2, 3), keepdim=True)
    high = values.amax(dim=(1, 2, 3), keepdim=True)
    scaled = (values - low) / (high - low).clamp_min(1e-12) * 255
    pictures: NDArray[np.uint8] = scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return pictures


def _as_array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().float().cpu().numpy()
    return array
