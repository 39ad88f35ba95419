"""The downward half of a UNet (Ronneberger 2015), behind a pixel-unshuffle that trades resolution for channels."""

from typing import TypedDict

from torch import Tensor, nn
from torch.nn import functional as F

from model.networks.attention import attend
from model.networks.embedding import Embedding
from model.networks.norm import GroupNorm
from model.networks.zeroed import zeroed

CHANNELS_PER_HEAD = 32  # of attention, about


class TrunkOptions(TypedDict):
    """
    shape      of one image: (C, H, W)
    T          timesteps of the schedule
    channels   width of each level, the first at H/patch; every further level halves the resolution
    blocks     residual blocks a level on the way down (one more on the way up)
    attention  levels (0 is the first) that attend; the middle always does
    patch      pixel-unshuffle factor (1: none)
    groups     of every group norm; divides all channels
    """

    shape: tuple[int, ...]
    T: int
    channels: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    patch: int
    groups: int


class Trunk(nn.Module):
    """Images [rows, C, H, W] → the activations that a UNet's skips carry, from fine to coarse.

    labels, text, jumps  see `Embedding`

    Raises ValueError where `shape` cannot be halved as often as the levels ask.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        T: int,
        channels: tuple[int, ...],
        blocks: int,
        attention: tuple[int, ...],
        patch: int,
        groups: int,
        labels: int = 0,
        text: int = 0,
        jumps: bool = False,
    ):
        super().__init__()
        image_channels, height, width = shape
        shrunk = _check_halving(height, width, len(channels), patch)
        _check_channels(channels, attention, groups)
        self.patch = patch
        self.unshuffled_channels = image_channels * patch**2
        self.coarse_pixels = (height // shrunk) * (width // shrunk)
        self.embedding = Embedding(T, 4 * channels[0], labels, text, jumps)
        self.enter = nn.Conv2d(self.unshuffled_channels, channels[0], 3, padding=1)
        self.down = nn.ModuleList()
        skips = [channels[0]]
        for level, wide in enumerate(channels):
            if level:
                self.down.append(nn.Conv2d(skips[-1], skips[-1], 3, stride=2, padding=1))
                skips.append(skips[-1])
            for _ in range(blocks):
                stage = Stage(skips[-1], wide, self.embedding.width, groups, attends=level in attention)
                self.down.append(stage)
                skips.append(wide)
        self.skip_channels = tuple(skips)

    def entered(self, x: Tensor) -> Tensor:
        """Images → the activations of the first level."""
        h: Tensor = self.enter(F.pixel_unshuffle(x.to(self.enter.weight.dtype), self.patch))
        return h

    def descended(self, h: Tensor, embedding: Tensor) -> list[Tensor]:
        """The activations of the first level → every skip; the last is the coarsest."""
        skips = [h]
        for stage in self.down:
            h = stage(h, embedding) if isinstance(stage, Stage) else stage(h)
            skips.append(h)
        return skips


class Stage(nn.Module):
    """A residual block and, where the level attends, attention after it."""

    def __init__(self, channels_in: int, channels: int, embedding: int, groups: int, attends: bool = False):
        super().__init__()
        self.residual = ResidualBlock(channels_in, channels, embedding, groups)
        self.attention = Attention(channels, groups) if attends else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h: Tensor = self.attention(self.residual(x, embedding))
        return h


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a skip; the embedding scales and shifts between them (DN21 section 3, AdaGN)."""

    def __init__(self, channels_in: int, channels: int, embedding: int, groups: int):
        super().__init__()
        self.norm1 = GroupNorm(groups, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * channels)
        self.norm2 = GroupNorm(groups, channels)
        self.conv2 = zeroed(nn.Conv2d(channels, channels, 3, padding=1))
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        added: Tensor = self.skip(x) + h
        return added


class Attention(nn.Module):
    """Self-attention over all pixels, with a skip."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.heads = heads_of(channels)
        self.norm = GroupNorm(groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        rows, channels, height, width = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).view(rows, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = attend(q, k, v, training=self.training).transpose(1, 2).flatten(2)
        added: Tensor = x + self.out(attended).transpose(1, 2).view(rows, channels, height, width)
        return added


def heads_of(channels: int) -> int:
    """How many heads attend over so many channels."""
    return max(1, channels // CHANNELS_PER_HEAD)


def _check_halving(height: int, width: int, levels: int, patch: int) -> int:
    """How many pixels of a side become one at the last level. Raises ValueError where they do not go in evenly."""
    divisor: int = patch * 2 ** (levels - 1)
    if height % divisor or width % divisor:
        raise ValueError(
            f"images of {height}×{width} cannot be halved by {levels} levels behind patches of {patch}: "
            f"both sides must be multiples of {divisor}"
        )
    return divisor


def _check_channels(channels: tuple[int, ...], attention: tuple[int, ...], groups: int) -> None:
    """Raises ValueError where channels do not split into groups or heads, or attention names a level there is not."""
    if any(c % groups for c in channels):
        raise ValueError(f"channels {list(channels)} must all be multiples of groups = {groups}")
    if any(c % heads_of(c) for c in channels):
        raise ValueError(f"channels {list(channels)} must split evenly into heads of about {CHANNELS_PER_HEAD}")
    if any(not 0 <= level < len(channels) for level in attention):
        raise ValueError(f"attention names levels 0 … {len(channels) - 1}, got {list(attention)}")
