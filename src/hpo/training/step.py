"""One step of training: how a batch becomes a loss, and a loss an update. Subclass it for another one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from hpo.errors import ConfigError

Batch = Any
"""What the data gives: a tensor, a tuple or list of tensors, or a mapping of names to tensors."""

LossFunction = Callable[..., Tensor]

_IMAGES_NDIM = 4  # (N, channels, height, width)


@dataclass(frozen=True)
class Result:
    """What a batch gave.

    `loss` is a scalar, the mean over the batch. `outputs` and `targets`, of as many samples, are what the metrics
    compare; without them the batch counts as one sample. `scalars` are averaged and recorded under their names.
    """

    loss: Tensor
    outputs: Tensor | None = None
    targets: Tensor | None = None
    scalars: Mapping[str, Tensor] = field(default_factory=dict)


class TrainingStep:
    """Supervised learning with one optimizer.

    Override `compute_loss` for another loss of a batch (a regularizer, a second output); it serves training and
    evaluation. Override `make_optimizers` and `train` for another update (two optimizers, adversaries). All of
    them find `model`, `loss_function`, `optimizers` and `device` on the step.
    """

    model: nn.Module
    loss_function: LossFunction
    optimizers: Sequence[Optimizer]
    device: torch.device
    target_key = "target"

    _scaler: GradScaler | None = None
    _clip_grad_norm: float | None = None
    _precision: torch.dtype | None = None
    _channels_last = False

    def __init__(self, target_key: str = "target") -> None:
        """`target_key` is where a batch that is a mapping holds its target."""
        self.target_key = target_key

    def compute_loss(self, batch: Batch) -> Result:
        """The loss of a batch, as it is called under `autocast`, in training and in evaluation.

        A tuple or list is `(*inputs, target)`; a mapping holds the target under `target_key`, and the model's
        keyword arguments; a tensor alone is input and target.
        """
        if isinstance(batch, tuple | list):
            target = batch[-1]
            outputs = self.model(*(batch[:-1] or batch))
        elif isinstance(batch, Mapping):
            inputs, target = self._split(batch)
            outputs = self.model(**inputs)
        else:
            target = batch
            outputs = self.model(batch)
        return Result(self._loss(outputs, target), outputs, target)

    def take(self, batches: Sequence[Batch]) -> list[Result]:
        """An iteration, as the loop asks for it: `train`, and what comes once after all of its updates."""
        results = self.train(batches)
        if self._scaler is not None:
            self._scaler.update()
        return results

    def make_optimizers(self, make: Callable[[nn.Module], Optimizer]) -> Sequence[Optimizer]:
        """The optimizers; `make` builds the configured one over a module's parameters."""
        return [make(self.model)]

    def train(self, batches: Sequence[Batch]) -> list[Result]:
        """One update from `batches` (train_config.accumulate_batches of them, fewer at an epoch's end)."""
        (optimizer,) = self.optimizers
        optimizer.zero_grad()
        results = []
        for index, batch in enumerate(batches, start=1):
            with self._by_itself() if index < len(batches) else nullcontext():
                with self.autocast():
                    result = self.compute_loss(self.arranged(batch))
                self.backward(result.loss if len(batches) == 1 else result.loss / len(batches))
            results.append(result)
        self.update(optimizer)
        return results

    def evaluate(self, batch: Batch) -> Result:
        """What an evaluation counts; gradients are off and the model is in evaluation mode."""
        with self.autocast():
            return self.compute_loss(self.arranged(batch))

    def arranged(self, batch: Batch) -> Batch:
        """The batch, with its images in the configured memory format."""
        return _channels_last(batch) if self._channels_last else batch

    def autocast(self) -> AbstractContextManager[Any]:
        """The configured precision, for forward passes and losses."""
        if self._precision is None:
            return nullcontext()
        return torch.autocast(self.device.type, self._precision)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`, scaled where the precision needs it."""
        if self._scaler is not None:
            loss = self._scaler.scale(loss)
        loss.backward()  # type: ignore[no-untyped-call]  # torch declares no types for it

    def update(self, optimizer: Optimizer) -> None:
        """Clip the gradients of the optimizer's parameters where that is configured, and let it step."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)
        if self._clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(_parameters(optimizer), self._clip_grad_norm)
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)

    def bind(
        self,
        model: nn.Module,
        loss_function: LossFunction,
        device: torch.device,
        *,
        precision: torch.dtype | None = None,
        clip_grad_norm: float | None = None,
        channels_last: bool = False,
    ) -> None:
        """Give the step what it works with; called once, before the first batch."""
        self.model = model
        self.loss_function = loss_function
        self.device = device
        self._precision = precision
        self._clip_grad_norm = clip_grad_norm
        self._channels_last = channels_last
        if precision is torch.float16:
            self._scaler = GradScaler(device.type)

    def add_optimizers(self, make: Callable[[nn.Module], Optimizer]) -> None:
        """Make the optimizers of a step that is bound. Raises ConfigError when it makes none."""
        self.optimizers = list(self.make_optimizers(make))
        if not self.optimizers:
            raise ConfigError(f"step_config: {type(self).__name__}.make_optimizers gives no optimizer")

    def optimizer_state(self) -> Any:
        """The optimizer's state; a list of states for several."""
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        return states[0] if len(states) == 1 else states

    def load_optimizer_state(self, state: Any) -> None:
        """Go on from what `optimizer_state` gave. Raises ValueError for that of other optimizers."""
        states = state if isinstance(state, list) else [state]
        for optimizer, own in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(own)

    def scaler_state(self) -> dict[str, Any] | None:
        """The state of what scales losses of half precision, where there is one."""
        return self._scaler.state_dict() if self._scaler is not None else None

    def load_scaler_state(self, state: dict[str, Any] | None) -> None:
        """Go on from what `scaler_state` gave."""
        if self._scaler is not None and state is not None:
            self._scaler.load_state_dict(state)

    def state_dict(self) -> Mapping[str, Any]:
        """What a step of your own remembers from one update to the next, as tensors and plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; its tensors are on the CPU."""

    def _by_itself(self) -> AbstractContextManager[Any]:
        """Gradients that are not brought together with those of other processes: more are to be added first."""
        return self.model.no_sync() if isinstance(self.model, DistributedDataParallel) else nullcontext()

    def _split(self, batch: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        if self.target_key not in batch:
            raise ConfigError(
                f"step_config.target_key={self.target_key} is not in a batch, which has: {', '.join(batch)}"
            )
        return {key: value for key, value in batch.items() if key != self.target_key}, batch[self.target_key]

    def _loss(self, outputs: Any, target: Any) -> Tensor:
        try:
            loss = self.loss_function(outputs, target)
        except (RuntimeError, ValueError, IndexError, TypeError, UserWarning) as error:
            raise ConfigError(
                f"loss_config: {_name(self.loss_function)} cannot compare the model's output "
                f"({described(outputs)}) with the target ({described(target)}): {error}"
            ) from error
        return loss


def _channels_last(batch: Batch) -> Batch:
    if isinstance(batch, Tensor):
        return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == _IMAGES_NDIM else batch
    if isinstance(batch, Mapping):
        return {key: _channels_last(value) for key, value in batch.items()}
    return [_channels_last(value) for value in batch] if isinstance(batch, tuple | list) else batch


def described(value: Any) -> str:
    """A tensor's type and shape, for messages."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__


def _parameters(optimizer: Optimizer) -> Iterable[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)
