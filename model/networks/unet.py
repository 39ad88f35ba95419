"""A small UNet (Ronneberger 2015) for images: a trunk, a middle, and the way up."""

from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.networks.norm import GroupNorm
from model.networks.trunk import Stage, Trunk, TrunkOptions


class HalfUNet(Trunk):
    """A UNet up to its middle, which a ControlNet has as well."""

    def __init__(self, *, labels: int, text: int = 0, jumps: bool = False, **options: Unpack[TrunkOptions]):
        super().__init__(labels=labels, text=text, jumps=jumps, **options)
        self.own_inputs = 2 if jumps else 0
        width, embedding, groups = self.skip_channels[-1], self.embedding.width, options["groups"]
        self.middle = nn.ModuleList(
            [Stage(width, width, embedding, groups, attends=True), Stage(width, width, embedding, groups)]
        )

    def descended(self, h: Tensor, embedding: Tensor) -> list[Tensor]:
        """The activations of the first level → every skip, and the middle last."""
        skips = super().descended(h, embedding)
        h = skips[-1]
        for stage in self.middle:
            h = stage(h, embedding)
        return [*skips, h]


class UNet(HalfUNet):
    """Images [rows, C, H, W] → [rows, C or 2C, H, W]; a ControlNet's outputs are added to the skips and the middle.

    jumps  the network reads the guidance scale and s, both [rows], before a ControlNet's outputs
    """

    def __init__(
        self,
        *,
        labels: int,
        text: int = 0,
        jumps: bool = False,
        learned_variance: bool,
        **options: Unpack[TrunkOptions],
    ):
        super().__init__(labels=labels, text=text, jumps=jumps, **options)
        outputs = self.unshuffled_channels * (2 if learned_variance else 1)
        self.up, self.leave = upward_half(self, outputs, options)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor, *more: Tensor) -> Tensor:
        jump, control = more[: self.own_inputs], more[self.own_inputs :]
        embedding = F.silu(self.embedding(t, condition, *jump))
        passed = self.descended(self.entered(x), embedding)
        if control:
            passed = [own + added for own, added in zip(passed, control, strict=True)]
        h = passed.pop()
        for stage in self.up:
            h = stage(torch.cat([h, passed.pop()], dim=1), embedding) if isinstance(stage, Stage) else stage(h)
        return F.pixel_shuffle(self.leave(h), self.patch)


def upward_half(half: HalfUNet, outputs: int, options: TrunkOptions) -> tuple[nn.ModuleList, nn.Sequential]:
    """(the stages from a UNet's middle up to its first level, the layers from there to `outputs` channels)"""
    groups, attention = options["groups"], options["attention"]
    skips = list(half.skip_channels)
    current = skips[-1]
    up = nn.ModuleList()
    for level, wide in reversed(list(enumerate(options["channels"]))):
        for _ in range(options["blocks"] + 1):
            stage = Stage(current + skips.pop(), wide, half.embedding.width, groups, attends=level in attention)
            up.append(stage)
            current = wide
        if level:
            up.append(Upsample(current))
    return up, nn.Sequential(GroupNorm(groups, current), nn.SiLU(), nn.Conv2d(current, outputs, 3, padding=1))


class Upsample(nn.Module):
    """Nearest-neighbour ×2 and a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        return h
