"""The inputs of every network besides x_t: t, the label or the text; of a student also its scale and where it jumps."""

import math

import torch
from torch import Tensor, nn

from model.networks.zeroed import zeroed

LONGEST_PERIOD = 10_000.0
SCALE_UNITS = 100.0  # the features of a guidance scale s are those of t = 100·s at T = 1000


def timestep_features(t: Tensor, T: int, width: int) -> Tensor:
    """Sinusoidal features of t ∈ 0 … T (Vaswani 2017, section 3.5), of t·1000/T so that they do not depend on T.

    [rows] → [rows, width] float32; `width` is even.
    """
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * (-math.log(LONGEST_PERIOD) / half))
    angles = (t.float() * (1000 / T)).unsqueeze(1) * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Embedding(nn.Module):
    """(t, condition, scale, s) → [rows, width]: an MLP over the timestep's features plus what the others add.

    labels  the condition is a label [rows] int64, a row of a table. A label of −1 is no label; it has a row of its
            own, learned from the samples whose label was dropped (HS22 section 3.2)
    text    the condition is a vector of so many numbers, [rows, text]; a vector of zeros is no text
    jumps   the network reads the guidance scale [rows] (Meng 2023, section 3.1) and the timestep s [rows] to which it
            jumps. These weights start at zero, so a student starts as its teacher at every scale and s
    """

    def __init__(self, T: int, width: int, labels: int = 0, text: int = 0, jumps: bool = False):
        super().__init__()
        self.T = T
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(labels + 1, width) if labels else None
        self.text = nn.Linear(text, width) if text else None
        self.guidance = zeroed(nn.Linear(width, width, bias=False)) if jumps else None
        self.arrival = zeroed(nn.Linear(width, width, bias=False)) if jumps else None

    def forward(
        self, t: Tensor, condition: Tensor | None = None, scale: Tensor | None = None, s: Tensor | None = None
    ) -> Tensor:
        features = timestep_features(t, self.T, self.width)
        first = self.time[0]
        assert isinstance(first, nn.Linear)
        embedding: Tensor = self.time(features.to(first.weight.dtype))
        if self.label is not None and condition is not None:
            embedding = embedding + self.label(condition + 1)
        if self.text is not None and condition is not None:
            embedding = embedding + self.text(condition.to(self.text.weight.dtype))
        if self.guidance is not None and self.arrival is not None:
            assert scale is not None and s is not None, "a network that jumps reads the guidance scale and s"
            features = timestep_features(SCALE_UNITS * scale, 1000, self.width)
            embedding = embedding + self.guidance(features.to(self.guidance.weight.dtype))
            features = timestep_features(s, self.T, self.width)
            embedding = embedding + self.arrival(features.to(self.arrival.weight.dtype))
        return embedding
