"""A small UNet (Ronneberger 2015) for images, behind a pixel-unshuffle that trades resolution for channels."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.networks.attention import attend
from model.networks.embedding import Embedding
from model.networks.norm import GroupNorm

CHANNELS_PER_HEAD = 32  # of attention, about


def check_halving(height: int, width: int, levels: int, patch: int) -> int:
    """How many pixels of a side become one at the last level. Raises ValueError where they do not go in evenly."""
    divisor = patch * 2 ** (levels - 1)
    if height % divisor or width % divisor:
        raise ValueError(
            f"images of {height}×{width} cannot be halved by {levels} levels behind patches of {patch}: "
            f"both sides must be multiples of {divisor}"
        )
    return divisor


def check_channels(channels: tuple[int, ...], attention: tuple[int, ...], groups: int) -> None:
    """Raises ValueError where channels do not split into groups or heads, or attention names a level there is not."""
    if any(c % groups for c in channels):
        raise ValueError(f"channels {list(channels)} must all be multiples of groups = {groups}")
    if any(c % max(1, c // CHANNELS_PER_HEAD) for c in channels):
        raise ValueError(f"channels {list(channels)} must split evenly into heads of about {CHANNELS_PER_HEAD}")
    if any(not 0 <= level < len(channels) for level in attention):
        raise ValueError(f"attention names levels 0 … {len(channels) - 1}, got {list(attention)}")


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a skip; the embedding scales and shifts between them (DN21 section 3, AdaGN)."""

    def __init__(self, channels_in: int, channels: int, embedding: int, groups: int):
        super().__init__()
        self.norm1 = GroupNorm(groups, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * channels)
        self.norm2 = GroupNorm(groups, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(x) + h


class Attention(nn.Module):
    """Self-attention over all pixels, with a skip."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.heads = max(1, channels // CHANNELS_PER_HEAD)
        self.norm = GroupNorm(groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        rows, channels, height, width = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).view(rows, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = attend(q, k, v, training=self.training).transpose(1, 2).flatten(2)
        return x + self.out(attended).transpose(1, 2).view(rows, channels, height, width)


class UNet(nn.Module):
    """Images [rows, C, H, W] → [rows, C or 2C, H, W]; what a ControlNet gives is added to the skips and the middle.

    channels   width of each level, the first at H/patch; every further level halves the resolution
    blocks     residual blocks a level on the way down (one more on the way up)
    attention  levels (0 is the first) that attend; the middle always does
    patch      pixel-unshuffle factor (1: none)
    groups     of every group norm; divides all channels

    Raises ValueError where `shape` cannot be halved as often as the levels ask.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        labels: int,
        text: int = 0,
        T: int,
        learned_variance: bool,
        channels: tuple[int, ...],
        blocks: int,
        attention: tuple[int, ...],
        patch: int,
        groups: int,
    ):
        super().__init__()
        image_channels, height, width = shape
        check_halving(height, width, len(channels), patch)
        check_channels(channels, attention, groups)
        embedding = 4 * channels[0]
        self.embedding = Embedding(T, embedding, labels, text)
        self.patch = patch
        self.enter = nn.Conv2d(image_channels * patch**2, channels[0], 3, padding=1)

        self.down = nn.ModuleList()
        skips = [channels[0]]
        current = channels[0]
        for level, wide in enumerate(channels):
            if level:
                self.down.append(nn.Conv2d(current, current, 3, stride=2, padding=1))
                skips.append(current)
            for _ in range(blocks):
                self.down.append(Stage(current, wide, embedding, groups, attends=level in attention))
                skips.append(wide)
                current = wide
        self.skip_channels = tuple(skips)

        self.middle = nn.ModuleList(
            [Stage(current, current, embedding, groups, attends=True), Stage(current, current, embedding, groups)]
        )

        self.up = nn.ModuleList()
        for level, wide in reversed(list(enumerate(channels))):
            for _ in range(blocks + 1):
                self.up.append(Stage(current + skips.pop(), wide, embedding, groups, attends=level in attention))
                current = wide
            if level:
                self.up.append(Upsample(current))

        self.leave = nn.Sequential(
            GroupNorm(groups, current),
            nn.SiLU(),
            nn.Conv2d(current, image_channels * patch**2 * (2 if learned_variance else 1), 3, padding=1),
        )

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, *control: Tensor) -> Tensor:
        embedding = F.silu(self.embedding(t, condition))
        passed = self.descended(self.entered(x), embedding)
        if control:
            passed = [own + added for own, added in zip(passed, control, strict=True)]
        h = passed.pop()
        for stage in self.up:
            h = stage(torch.cat([h, passed.pop()], dim=1), embedding) if isinstance(stage, Stage) else stage(h)
        return F.pixel_shuffle(self.leave(h), self.patch)

    def entered(self, x: Tensor) -> Tensor:
        return self.enter(F.pixel_unshuffle(x.to(self.enter.weight.dtype), self.patch))

    def descended(self, h: Tensor, embedding: Tensor) -> list[Tensor]:
        """What the way up is given: every skip, and the middle last."""
        passed = [h]
        for stage in self.down:
            h = stage(h, embedding) if isinstance(stage, Stage) else stage(h)
            passed.append(h)
        for stage in self.middle:
            h = stage(h, embedding)
        return [*passed, h]


class Stage(nn.Module):
    """A residual block and, where the level attends, attention after it."""

    def __init__(self, channels_in: int, channels: int, embedding: int, groups: int, attends: bool = False):
        super().__init__()
        self.residual = ResidualBlock(channels_in, channels, embedding, groups)
        self.attention = Attention(channels, groups) if attends else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.attention(self.residual(x, embedding))


class Upsample(nn.Module):
    """Nearest-neighbour ×2 and a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
