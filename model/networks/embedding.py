"""The inputs of every network besides x_t: the timestep, and the label or the text."""

import math

import torch
from torch import Tensor, nn

LONGEST_PERIOD = 10_000.0


def timestep_features(t: Tensor, T: int, width: int) -> Tensor:
    """Sinusoidal features of t ∈ 0 … T (Vaswani 2017, section 3.5), of t·1000/T so that they do not depend on T.

    [rows] → [rows, width] float32; `width` is even.
    """
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * (-math.log(LONGEST_PERIOD) / half))
    angles = (t.float() * (1000 / T)).unsqueeze(1) * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Embedding(nn.Module):
    """(t, condition) → [rows, width]: an MLP over the timestep's features plus what the condition adds.

    labels  the condition is a label [rows] int64, a row of a table. A label of −1 is no label; it has a row of its
            own, learned from the samples whose label was dropped (HS22 section 3.2)
    text    the condition is a vector of so many numbers, [rows, text]; a vector of zeros is no text
    """

    def __init__(self, T: int, width: int, labels: int = 0, text: int = 0):
        super().__init__()
        self.T = T
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(labels + 1, width) if labels else None
        self.text = nn.Linear(text, width) if text else None

    def forward(self, t: Tensor, condition: Tensor | None = None) -> Tensor:
        features = timestep_features(t, self.T, self.width)
        first = self.time[0]
        assert isinstance(first, nn.Linear)
        embedding: Tensor = self.time(features.to(first.weight.dtype))
        if self.label is not None and condition is not None:
            embedding = embedding + self.label(condition + 1)
        if self.text is not None and condition is not None:
            embedding = embedding + self.text(condition.to(self.text.weight.dtype))
        return embedding
