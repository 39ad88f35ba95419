"""Networks that encode noisy rows: half a UNet for images, an MLP for points. Rows of a batch do not mix."""

from collections.abc import Iterable
from typing import Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.networks.attention import attend
from model.networks.embedding import Embedding
from model.networks.mlp import Block
from model.networks.norm import GroupNorm
from model.networks.trunk import Stage, Trunk, TrunkOptions, heads_of


class ImageEncoder(Trunk):
    """The downward half of a UNet, pooled by attention (DN21 section 4.1): images [rows, C, H, W] → [rows, outputs]."""

    def __init__(self, *, outputs: int, **options: Unpack[TrunkOptions]):
        super().__init__(**options)
        width, groups = self.skip_channels[-1], options["groups"]
        self.middle = Stage(width, width, self.embedding.width, groups, attends=True)
        self.norm = GroupNorm(groups, width)
        self.pool = AttentionPool(width, self.coarse_pixels, outputs)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        embedding = F.silu(self.embedding(t))
        h = self.descended(self.entered(x), embedding)[-1]
        encoded: Tensor = self.pool(F.silu(self.norm(self.middle(h, embedding))))
        return encoded


class AttentionPool(nn.Module):
    """All pixels into one vector: their mean is the query, they are keys and values (Rad21 section 2.3)."""

    def __init__(self, channels: int, pixels: int, outputs: int):
        super().__init__()
        self.heads = heads_of(channels)
        self.position = nn.Parameter(torch.randn(pixels + 1, channels) / channels**0.5)
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([pixels.mean(1, keepdim=True), pixels], dim=1) + self.position
        rows, count, _ = tokens.shape
        q = self.q(tokens[:, :1]).view(rows, 1, self.heads, -1).transpose(1, 2)
        k, v = self.kv(tokens).view(rows, count, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        pooled: Tensor = self.out(attend(q, k, v, training=self.training).transpose(1, 2).flatten(1))
        return pooled


class PointEncoder(nn.Module):
    """Points [rows, d] → [rows, outputs], by the blocks of `model.networks.mlp`."""

    def __init__(self, *, shape: tuple[int, ...], outputs: int, T: int, width: int, blocks: int):
        super().__init__()
        (dimensions,) = shape
        self.embedding = Embedding(T, width)
        self.enter = nn.Linear(dimensions, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, outputs))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        embedding = F.silu(self.embedding(t))
        h = self.enter(x.to(self.enter.weight.dtype))
        for block in cast(Iterable[Block], self.blocks):
            h = block(h, *block.modulations(embedding))
        encoded: Tensor = self.leave(h)
        return encoded
