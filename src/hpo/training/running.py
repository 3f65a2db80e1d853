"""The loss and the metrics over a stretch of batches, without waiting for the device at any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hpo.errors import ConfigError
from hpo.lean_torch import import_torchmetrics
from hpo.training.ranks import of_all, of_the_first
from hpo.training.step import Result, described

if TYPE_CHECKING:
    from torchmetrics import Metric
else:
    # where no server of trials has imported it
    Metric = import_torchmetrics().Metric

# when what is buffered reaches either, the metrics take it in
_MAX_BUFFERED_BATCHES = 1024
_MAX_BUFFERED_BYTES = 64 * 2**20


class Running:
    """Averages since the last `compute`, weighted by samples.

    Outputs and targets are buffered where they are and handed to the metrics together: updating every metric in
    each step would cost a small model 6 % of its time.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self._metrics = metrics
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._scalars: dict[str, list[Tensor]] = {}
        self._num_bytes = 0
        self._num_samples = 0
        self._sums: dict[str, float] = {}

    def add(self, result: Result) -> None:
        """What one batch gave."""
        self._losses.append(result.loss.detach())
        self._sizes.append(_num_samples(result))
        if self._metrics:
            outputs, targets = self._compared(result)
            self._outputs.append(outputs.detach())
            self._targets.append(targets)
            self._num_bytes += outputs.nbytes + targets.nbytes
        for name, value in result.scalars.items():
            self._scalars.setdefault(name, []).append(value.detach())
        if self._num_bytes > _MAX_BUFFERED_BYTES or len(self._losses) >= _MAX_BUFFERED_BATCHES:
            self._take_in()

    def compute(self) -> dict[str, float]:
        """`loss`, the step's scalars and each metric over all that was added (at least one batch); start again.

        Of several processes, over what was added in all of them: each has to call it, and gets the same.
        """
        self._take_in()
        parts = of_all((self._num_samples, self._sums))
        num_samples = sum(num for num, _ in parts)
        values = {name: sum(sums[name] for _, sums in parts) / num_samples for name in self._sums}
        for name, metric in self._metrics.items():
            with _metric_failure(name):
                value = metric.compute()
            values[name] = _number(name, value)
            metric.reset()
        self._sums.clear()
        self._num_samples = 0
        return dict(of_the_first(values))

    def state_dict(self) -> dict[str, Any]:
        """What was added since the last `compute`, as it is: nothing is summed up for it."""
        return {
            "losses": _joined(torch.stack, self._losses),
            "sizes": list(self._sizes),
            # copies: targets may be views of all the data
            "outputs": _joined(torch.cat, self._outputs),
            "targets": _joined(torch.cat, self._targets),
            "scalars": {name: torch.stack(values) for name, values in self._scalars.items()},
            # those that the step does not make where it trains
            "aside": [
                name for name, values in self._scalars.items() if values[0].device != self._losses[0].device
            ],
            "num_samples": self._num_samples,
            "sums": dict(self._sums),
            "metrics": {name: [_kept(part) for part in _parts(metric)] for name, metric in self._metrics.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on, on `device`, from what `state_dict` gave. Raises LookupError or ValueError for other metrics'."""
        losses, outputs, targets = state["losses"], state["outputs"], state["targets"]
        self._losses = [] if losses is None else list(losses.to(device).unbind())
        self._sizes = list(state["sizes"])
        self._outputs = [] if outputs is None else [outputs.to(device)]
        self._targets = [] if targets is None else [targets.to(device)]
        self._scalars = {
            name: list((values if name in state["aside"] else values.to(device)).unbind())
            for name, values in state["scalars"].items()
        }
        self._num_bytes = sum(values.nbytes for values in (*self._outputs, *self._targets))
        self._num_samples, self._sums = state["num_samples"], dict(state["sums"])
        for name, metric in self._metrics.items():
            for part, kept in zip(_parts(metric), state["metrics"][name], strict=True):
                _put_back(part, kept)

    def _compared(self, result: Result) -> tuple[Tensor, Tensor]:
        if isinstance(result.outputs, Tensor) and isinstance(result.targets, Tensor):
            return result.outputs, result.targets
        raise ConfigError(
            f"metrics: {', '.join(self._metrics)} compare tensors, but the step gives outputs "
            f"({described(result.outputs)}) and targets ({described(result.targets)}); "
            "leave them out with metrics=none"
        )

    def _take_in(self) -> None:
        if not self._losses:
            return
        self._add_up("loss", self._losses)
        for name, values in self._scalars.items():
            self._add_up(name, values)
        self._num_samples += sum(self._sizes)
        if self._metrics:
            outputs, targets = _widened(torch.cat(self._outputs)), _widened(torch.cat(self._targets))
            for name, metric in self._metrics.items():
                with _metric_failure(name, outputs, targets):
                    metric.update(outputs, targets)
        self._losses.clear()
        self._sizes.clear()
        self._outputs.clear()
        self._targets.clear()
        self._scalars.clear()
        self._num_bytes = 0

    def _add_up(self, name: str, values: list[Tensor]) -> None:
        added = zip(torch.stack(values).tolist(), self._sizes, strict=True)
        self._sums[name] = self._sums.get(name, 0.0) + sum(value * size for value, size in added)


def _joined(join: Callable[[list[Tensor]], Tensor], values: list[Tensor]) -> Tensor | None:
    return join(values) if values else None


def _parts(metric: Metric) -> list[Metric]:
    """The metric, and those that it may be made of."""
    return [part for part in metric.modules() if isinstance(part, Metric)]


def _kept(metric: Metric) -> dict[str, Any] | None:
    """What a metric has taken in, of all that torchmetrics calls its states; None for nothing."""
    if not metric.update_called:
        return None
    return {"num_updates": metric.update_count, "states": dict(metric.metric_state)}


def _put_back(metric: Metric, kept: Mapping[str, Any] | None) -> None:
    if kept is None:
        return
    for name, values in kept["states"].items():
        is_list = isinstance(values, list)
        setattr(
            metric, name, [value.to(metric.device) for value in values] if is_list else values.to(metric.device)
        )
    # torchmetrics has no public way to set what it counts to tell a metric that is empty
    metric._update_count = kept["num_updates"]


def _num_samples(result: Result) -> int:
    """Of a batch; one where the step does not give what metrics compare."""
    for value in (result.targets, result.outputs):
        if isinstance(value, Sized):
            return len(value)
    return 1


def _widened(values: Tensor) -> Tensor:
    """In single precision, where a mixed one has left half of it."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


@contextmanager
def _metric_failure(name: str, *given: Tensor) -> Iterator[None]:
    """Make of what a metric raises a ConfigError that names it and what it was given."""
    try:
        yield
    except Exception as error:
        what = f" of outputs {described(given[0])} and targets {described(given[1])}" if given else ""
        raise ConfigError(f"metrics.{name} cannot be computed{what}: {error}") from error


def _number(name: str, value: Tensor) -> float:
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ConfigError(
            f"metrics.{name} must compute one number, but gives {got}; "
            "torchmetrics' classification metrics give one with average=micro or macro"
        )
    return float(value)
