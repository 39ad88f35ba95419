"""A residual MLP for points."""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from model.networks.embedding import Embedding
from model.networks.zeroed import zeroed


class Block(nn.Module):
    """h + f(h, e): norm, scale and shift by the embedding e, two layers; starts as the identity.

    width      of h
    embedding  length of e; None for `width`
    """

    def __init__(self, width: int, embedding: int | None = None):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(embedding or width, 2 * width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), zeroed(nn.Linear(width, width)))

    def forward(self, h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        added: Tensor = h + self.layers(self.norm(h) * scale + shift)
        return added

    def modulations(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """The scale and the shift of the norm, [rows, width] each."""
        scale, shift = self.modulation(embedding).chunk(2, dim=1)
        return 1 + scale, shift


class FourierFeatures(nn.Module):
    """x, cos(Bx) and sin(Bx) of points (Tancik 2020, section 3): [rows, d] → [rows, d + 2·frequencies].

    Networks learn slowly what changes fast along x, such as which of two near curves is nearer. B [frequencies, d] is
    trained from random values, in equal parts of the scales SCALES.
    """

    SCALES = (0.5, 1.0, 2.0, 4.0, 8.0)  # standard deviations of B in radians, beside data of unit variance

    def __init__(self, dimensions: int, frequencies: int):
        super().__init__()
        of_each = -(-frequencies // len(self.SCALES))
        scales = torch.tensor([scale for scale in self.SCALES for _ in range(of_each)][:frequencies])
        self.frequencies = nn.Parameter(torch.randn(frequencies, dimensions) * scales.unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        angles = x @ self.frequencies.T
        return torch.cat([x, angles.cos(), angles.sin()], dim=1)


class MLP(nn.Module):
    """Points [rows, d] → [rows, d or 2d]. One that jumps reads the guidance scale and s too, both [rows].

    width        of every layer
    blocks       residual blocks
    frequencies  of the Fourier features of x; 0 for x alone
    embedding    width of the embedding of t and the condition; None for `width`
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        labels: int,
        text: int = 0,
        jumps: bool = False,
        T: int,
        learned_variance: bool,
        width: int,
        blocks: int,
        frequencies: int = 0,
        embedding: int | None = None,
    ):
        super().__init__()
        (dimensions,) = shape
        embedding = embedding or width
        self.embedding = Embedding(T, embedding, labels, text, jumps)
        self.features = FourierFeatures(dimensions, frequencies) if frequencies else nn.Identity()
        self.enter = nn.Linear(dimensions + 2 * frequencies, width)
        self.blocks = nn.ModuleList(Block(width, embedding) for _ in range(blocks))
        self.leave = nn.Sequential(
            nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, dimensions * (2 if learned_variance else 1))
        )

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, *jump: Tensor) -> Tensor:
        return self.modulated(x, self.modulations(t, condition, *jump))

    def modulations(self, t: Tensor, condition: Tensor, *jump: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What the blocks read of all inputs but x: a scale and a shift for each."""
        embedding = nn.functional.silu(self.embedding(t, condition, *jump))
        return [block.modulations(embedding) for block in cast(Iterable[Block], self.blocks)]

    def modulated(self, x: Tensor, modulations: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        h = self.enter(self.features(x.to(self.enter.weight.dtype)))
        for block, (scale, shift) in zip(self.blocks, modulations, strict=True):
            h = block(h, scale, shift)
        output: Tensor = self.leave(h)
        return output
