"""A problem small enough to be computed by hand, and data modules that lack something."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset, TensorDataset

from hpo.data.protocol import Splits
from hpo.records import DataSource
from hpo.training.step import Result, TrainingStep


def samples(num: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points of a noisy line."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(num, 1, generator=generator)
    return inputs, 3 * inputs + 1 + 0.1 * torch.rand(num, 1, generator=generator)


class Items(Dataset):
    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]


class Line:
    """`num_train` points, of which an epoch of batches of 4 has a smaller last one; 7 that validate."""

    def __init__(self, num_train: int = 10, has_val: bool = True, is_loaded: bool = False) -> None:
        self.num_train, self.has_val = num_train, has_val
        self.kind = Items if is_loaded else TensorDataset

    def load(self, source: DataSource | None) -> Splits:
        val = self.kind(*samples(7, seed=1)) if self.has_val else None
        return Splits(train=self.kind(*samples(self.num_train)), val=val, test=self.kind(*samples(5, seed=2)))


class Linear(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(self.dropout(inputs))


class Counting(nn.Module):
    """A loss that is the number of its calls in training, and `val_losses` in turn in evaluation."""

    def __init__(self, val_losses: list[float]) -> None:
        super().__init__()
        self.num_calls, self.val_losses = 0, list(val_losses)

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return torch.tensor(self.val_losses.pop(0))
        self.num_calls += 1
        return outputs.sum() * 0 + self.num_calls


class Mapped(Items):
    """Samples by name, of which the target has another one than usual."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"inputs": self.inputs[index], "answer": self.targets[index]}


class Alone(Items):
    """Samples without a target."""

    def __getitem__(self, index: int) -> Tensor:
        return self.inputs[index]


class LineOf:
    """Points of the line in whatever form `kind` gives them, for training and validation."""

    def __init__(self, kind: str, num_train: int = 10, num_val: int = 7) -> None:
        self.kind = {"mapped": Mapped, "alone": Alone, "loaded": Items, "tuples": TensorDataset}[kind]
        self.num_train, self.num_val = num_train, num_val

    def load(self, source: object) -> Splits:
        return Splits(self.kind(*samples(self.num_train)), self.kind(*samples(self.num_val, seed=1)))


class Pictures:
    """8 random colour images of 4 x 4 pixels in 2 classes, the 4 that validate in a rising brightness."""

    def load(self, source: object) -> Splits:
        images = torch.rand(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        bright = torch.linspace(0, 1, 4)[:, None, None, None].expand(4, 3, 4, 4) * images[:4]
        targets = torch.arange(8) % 2
        return Splits(TensorDataset(images, targets), TensorDataset(bright.contiguous(), targets[:4]))


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.classes = nn.Linear(16, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.classes(self.norm(self.convolution(images)).relu().flatten(1))


class Shaken(Dataset):
    """Colour images of 4 x 4 pixels that are never the same twice: all three generators have a part in it."""

    def __init__(self, num: int, seed: int) -> None:
        self.images = torch.rand(num, 3, 4, 4, generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index]
        if random.random() < 0.5:
            image = image.flip(-1)
        image = image.roll(int(np.random.randint(4)), dims=-2)
        return image + 0.1 * torch.randn(image.shape), index % 2


class ShakenPictures:
    """18 of them, and 5 that validate."""

    def load(self, source: object) -> Splits:
        return Splits(Shaken(18, seed=0), Shaken(5, seed=1))


class DroppingConvolution(Convolution):
    """With dropout before the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Sequential(nn.Dropout(0.5), self.classes)


class Widening(nn.Module):
    """The mean of so many lines."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(1, width)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs).mean(1, keepdim=True)


class Brightness(nn.Module):
    """The mean of each image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images.mean(dim=(1, 2, 3))


def mean_output(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.mean()


class Penalized(TrainingStep):
    """A regularizer, recorded as well."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def compute_loss(self, batch: Any) -> Result:
        result = super().compute_loss(batch)
        penalty = sum(parameter.abs().sum() for parameter in self.model.parameters())
        return replace(result, loss=result.loss + self.strength * penalty, scalars={"penalty": penalty})


class Squared(TrainingStep):
    """A loss of its own."""

    def compute_loss(self, batch: Any) -> Result:
        inputs, targets = batch
        outputs = self.model(inputs)
        return Result((outputs - targets).square().mean(), outputs, targets)


class Alternating(TrainingStep):
    """An optimizer each for the weight and the bias, the second of which learns at a tenth of the rate."""

    def make_optimizers(self, make: Callable[[nn.Module], Optimizer]) -> Sequence[Optimizer]:
        layer = self.model.layer
        slow = make(layer)
        slow.param_groups[0].update(params=[layer.bias], lr=slow.param_groups[0]["lr"] / 10)
        fast = make(layer)
        fast.param_groups[0].update(params=[layer.weight])
        return [fast, slow]

    def train(self, batches: Sequence[Any]) -> list[Result]:
        results = []
        for optimizer in self.optimizers:
            optimizer.zero_grad()
            (batch,) = batches
            result = self.compute_loss(batch)
            self.backward(result.loss)
            self.update(optimizer)
            results.append(result)
        return results[:1]


class Rising(TrainingStep):
    """Weighs the loss by the number of updates so far, which the step itself counts."""

    def __init__(self) -> None:
        super().__init__()
        self.num_updates = 0

    def compute_loss(self, batch: Any) -> Result:
        result = super().compute_loss(batch)
        return replace(result, loss=result.loss * (1 + self.num_updates))

    def train(self, batches: Sequence[Any]) -> list[Result]:
        self.num_updates += 1
        return super().train(batches)

    def state_dict(self) -> Mapping[str, Any]:
        return {"num_updates": self.num_updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.num_updates = state["num_updates"]


class Adapting(nn.Module):
    """The squared error, over a scale that follows the targets."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.scale.lerp_(targets.abs().mean(), 0.1)
        return (outputs - targets).square().mean() / self.scale
