"""Networks that read noisy rows: half a UNet for images, an MLP for points. Nothing in them depends on a batch."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.networks.attention import attend
from model.networks.embedding import Embedding
from model.networks.mlp import Block
from model.networks.norm import GroupNorm
from model.networks.unet import CHANNELS_PER_HEAD, Stage, check_channels, check_halving


class ImageEncoder(nn.Module):
    """The downward half of a UNet, pooled by attention (DN21 section 4.1): images [rows, C, H, W] → [rows, outputs].

    The parameters are the UNet's. Raises ValueError where `shape` cannot be halved as often as the levels ask.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        outputs: int,
        T: int,
        channels: tuple[int, ...],
        blocks: int,
        attention: tuple[int, ...],
        patch: int,
        groups: int,
    ):
        super().__init__()
        image_channels, height, width = shape
        shrunk = check_halving(height, width, len(channels), patch)
        check_channels(channels, attention, groups)
        embedding = 4 * channels[0]
        self.embedding = Embedding(T, embedding)
        self.patch = patch
        self.enter = nn.Conv2d(image_channels * patch**2, channels[0], 3, padding=1)
        self.down = nn.ModuleList()
        current = channels[0]
        for level, wide in enumerate(channels):
            if level:
                self.down.append(nn.Conv2d(current, current, 3, stride=2, padding=1))
            for _ in range(blocks):
                self.down.append(Stage(current, wide, embedding, groups, attends=level in attention))
                current = wide
        self.middle = Stage(current, current, embedding, groups, attends=True)
        self.norm = GroupNorm(groups, current)
        self.pool = AttentionPool(current, (height // shrunk) * (width // shrunk), outputs)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        embedding = F.silu(self.embedding(t))
        h = self.enter(F.pixel_unshuffle(x.to(self.enter.weight.dtype), self.patch))
        for stage in self.down:
            h = stage(h, embedding) if isinstance(stage, Stage) else stage(h)
        return self.pool(F.silu(self.norm(self.middle(h, embedding))))


class AttentionPool(nn.Module):
    """All pixels into one vector: their mean asks, they answer (Rad21 section 2.3)."""

    def __init__(self, channels: int, pixels: int, outputs: int):
        super().__init__()
        self.heads = max(1, channels // CHANNELS_PER_HEAD)
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
        return self.out(attend(q, k, v, training=self.training).transpose(1, 2).flatten(1))


class PointEncoder(nn.Module):
    """Points [rows, d] → [rows, outputs], by the blocks of `model.networks.mlp`."""

    def __init__(self, *, shape: tuple[int], outputs: int, T: int, width: int, blocks: int):
        super().__init__()
        (dimensions,) = shape
        self.embedding = Embedding(T, width)
        self.enter = nn.Linear(dimensions, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, outputs))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        embedding = F.silu(self.embedding(t))
        h = self.enter(x.to(self.enter.weight.dtype))
        for block in self.blocks:
            h = block(h, embedding)
        return self.leave(h)
