"""A generator and a critic of points in the plane, and the step that sets them against each other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from hpo.data.protocol import Splits
from hpo.records import DataSource
from hpo.training.step import Result, TrainingStep


class Points(Dataset[Tensor]):
    """Points around (2, -1). An item is a tensor, and so is a batch."""

    def __init__(self, num_points: int, seed: int) -> None:
        noise = torch.randn(num_points, 2, generator=torch.Generator().manual_seed(seed))
        self.points = torch.tensor([2.0, -1.0]) + 0.5 * noise

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Tensor:
        return self.points[index]


class Cloud:
    """The data module of those points."""

    def __init__(self, num_points: int, seed: int) -> None:
        self.num_points = num_points
        self.seed = seed

    def source(self) -> DataSource:
        return DataSource("cloud", hashlib.sha256(f"{self.num_points} {self.seed}".encode()).hexdigest())

    def load(self, source: DataSource | None) -> Splits:
        return Splits(train=Points(self.num_points, self.seed), val=Points(self.num_points, self.seed + 1))


class Gan(nn.Module):
    """Both networks; the generator makes points (N, 2) of noise (N, 2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.generator = nn.Linear(2, 2)
        self.critic = nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))


class Adversarial(TrainingStep):
    """Two optimizers, one update of each for every batch; an evaluation measures how far apart the points lie."""

    def make_optimizers(self, make: Callable[[nn.Module], Optimizer]) -> Sequence[Optimizer]:
        return [make(self.model.generator), make(self.model.critic)]

    def train(self, batches: Sequence[Tensor]) -> list[Result]:
        of_generator, of_critic = self.optimizers
        results = []
        for real in batches:
            made = self._made(len(real))
            critic_loss = self._told_apart(real, True) + self._told_apart(made.detach(), False)
            of_critic.zero_grad()
            self.backward(critic_loss)
            self.update(of_critic)

            generator_loss = self._told_apart(made, True)
            of_generator.zero_grad()
            self.backward(generator_loss)
            self.update(of_generator)
            results.append(Result(generator_loss, scalars={"critic_loss": critic_loss}))
        return results

    def evaluate(self, batch: Tensor) -> Result:
        made = self._made(len(batch))
        distance = (made.mean(0) - batch.mean(0)).norm() + (made.std(0) - batch.std(0)).norm()
        return Result(distance, scalars={"distance": distance})

    def _made(self, num_points: int) -> Tensor:
        return self.model.generator(torch.randn(num_points, 2, device=self.device))

    def _told_apart(self, points: Tensor, is_real: bool) -> Tensor:
        scores = self.model.critic(points)
        return nn.functional.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(is_real)))
