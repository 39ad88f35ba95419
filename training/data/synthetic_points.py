"""Two-dimensional sets with known densities. Points are made afresh, without end."""

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from model.data import DataConfig
from training.data.training_set import Examples

HELD_OUT = 10_000
CURVE_NODES = 8_000  # on the spiral: 0.005 apart at most


@runtime_checkable
class CurveSet(Protocol):
    """A set whose points lie on a curve without thickness."""

    @property
    def curve(self) -> Tensor:
        """Points [m, d] along it, so close that the nearest one is as far as the curve itself."""
        ...


class EndlessSet(ABC):
    """A `TrainingSet` without examples: every row is new."""

    examples: None = None
    real: None = None
    config: DataConfig
    label_shares: tuple[float, ...]  # of the labels, in their order

    @cached_property
    def held_out(self) -> Examples:
        return Examples(*self.draw(HELD_OUT, torch.Generator().manual_seed(0)))

    @abstractmethod
    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(points float32 [rows, 2], labels int64 [rows])"""


class GaussianMixture(EndlessSet):
    """Equal parts of N((4, 4), I) and N((−4, −4), I); the label is the component."""

    means = ((4.0, 4.0), (-4.0, -4.0))
    std = 1.0
    config = DataConfig(
        dataset="gaussian",
        kind="points",
        shape=(2,),
        labels=("0", "1"),
        std=(math.sqrt(17),),  # √(4² + 1), for either axis
    )
    label_shares = (0.5, 0.5)

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = torch.randint(len(self.means), (rows,), generator=generator)
        noise = torch.randn(rows, 2, generator=generator)
        return torch.tensor(self.means)[labels] + self.std * noise, labels


class Spiral(EndlessSet):
    """r = 5θ with θ = 5π√u, u uniform: nearly even along the curve, axes standardised. The label is the turn."""

    end = 5 * math.pi
    config = DataConfig(dataset="spiral", kind="points", shape=(2,), labels=("0", "1", "2"))
    label_shares = (0.16, 0.48, 0.36)  # √u is below 2/5, 4/5 and 1 where a turn ends

    def __init__(self) -> None:
        # The mean and standard deviation of each axis, by quadrature over u.
        curve = self._at(self.end * ((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000).sqrt())
        self._mean, self._std = curve.mean(0).float(), curve.std(0, correction=0).float()

    @cached_property
    def curve(self) -> Tensor:
        """See `CurveSet`."""
        theta = torch.linspace(0, self.end, CURVE_NODES, dtype=torch.float64)
        return (self._at(theta).float() - self._mean) / self._std

    @staticmethod
    def _at(theta: Tensor) -> Tensor:
        return 5 * theta.unsqueeze(1) * torch.stack([theta.cos(), theta.sin()], dim=1)

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        theta = self.end * torch.rand(rows, generator=generator).sqrt()
        turn = (theta / (2 * math.pi)).long()
        return (self._at(theta) - self._mean) / self._std, turn
