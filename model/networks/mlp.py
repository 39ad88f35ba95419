"""A residual MLP for points."""

from torch import Tensor, nn

from model.networks.embedding import Embedding
from model.networks.zeroed import zeroed


class Block(nn.Module):
    """h + f(h, e): norm, scale and shift by the embedding, two layers; starts as the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), zeroed(nn.Linear(width, width)))

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding).chunk(2, dim=1)
        added: Tensor = h + self.layers(self.norm(h) * (1 + scale) + shift)
        return added


class MLP(nn.Module):
    """Points [rows, d] → [rows, d or 2d]. A guided one reads the guidance scale [rows] too.

    width   of every layer
    blocks  residual blocks
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        labels: int,
        text: int = 0,
        guided: bool = False,
        T: int,
        learned_variance: bool,
        width: int,
        blocks: int,
    ):
        super().__init__()
        (dimensions,) = shape
        self.embedding = Embedding(T, width, labels, text, guided)
        self.enter = nn.Linear(dimensions, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.leave = nn.Sequential(
            nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, dimensions * (2 if learned_variance else 1))
        )

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, scale: Tensor | None = None) -> Tensor:
        embedding = nn.functional.silu(self.embedding(t, condition, scale))
        h = self.enter(x.to(self.enter.weight.dtype))
        for block in self.blocks:
            h = block(h, embedding)
        output: Tensor = self.leave(h)
        return output
