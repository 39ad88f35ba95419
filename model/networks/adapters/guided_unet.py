"""The UNet of improved and guided diffusion (ND21, DN21), with the parameter names of their released weights."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.networks.adapters.class_numbers import class_numbers
from model.networks.attention import attend
from model.networks.norm import GroupNorm
from model.networks.unet import Upsample

GROUPS = 32
LONGEST_PERIOD = 10_000.0


class GuidedUNet(nn.Module):
    """Images [rows, C, H, W] → [rows, C or 2C, H, W]. Its timesteps, 1 … T, are one more than the released code's.

    shape              of one image, (C, H, W)
    labels             how many classes; 0 for none. There is no class for "no label"
    width              channels of the first level
    multiples          channels of each level, in widths
    blocks             residual blocks a level on the way down; one more on the way up
    attention          factors by which levels that attend are smaller than the image
    heads              of attention on the way down, and `heads_up` on the way up; not read with `head_width`
    head_width         channels of a head; None for a number of heads
    modulated          the embedding scales and shifts, and is not only added (use_scale_shift_norm)
    residual_sampling  residual blocks change the resolution (resblock_updown)
    heads_outside      q, k and v are the outer division of channels, not heads (use_new_attention_order)
    timestep_scale     the network reads t times this (rescale_timesteps)

    Raises ValueError where channels do not split into groups and heads, or sides cannot be halved.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        labels: int,
        learned_variance: bool,
        width: int,
        multiples: tuple[float, ...],
        blocks: int,
        attention: tuple[int, ...],
        heads: int,
        heads_up: int,
        head_width: int | None,
        modulated: bool,
        residual_sampling: bool,
        heads_outside: bool,
        timestep_scale: float,
    ):
        super().__init__()
        image_channels, height, image_width = shape
        halvings = 2 ** (len(multiples) - 1)
        if height % halvings or image_width % halvings:
            raise ValueError(f"images of {height}×{image_width} cannot be halved {len(multiples) - 1} times")
        widths = [int(width * multiple) for multiple in multiples]
        if any(wide % GROUPS for wide in widths):
            raise ValueError(f"channels {widths} must all be multiples of {GROUPS}")
        self.width, self.timestep_scale = width, timestep_scale
        embedding = 4 * width
        self.time_embed = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.label_emb = nn.Embedding(labels, embedding) if labels else None

        def residual(inputs: int, outputs: int, resample: str = "") -> ResidualBlock:
            return ResidualBlock(inputs, outputs, embedding, modulated, resample)

        def attends(channels: int, count: int) -> AttentionBlock:
            return AttentionBlock(channels, channels // head_width if head_width else count, heads_outside)

        current = widths[0]
        self.input_blocks = nn.ModuleList([Steps([nn.Conv2d(image_channels, current, 3, padding=1)])])
        skips, factor = [current], 1
        for level, wide in enumerate(widths):
            for _ in range(blocks):
                layers: list[nn.Module] = [residual(current, wide)]
                layers += [attends(wide, heads)] if factor in attention else []
                self.input_blocks.append(Steps(layers))
                current = wide
                skips.append(current)
            if level < len(widths) - 1:
                down = residual(current, current, "down") if residual_sampling else Downsample(current)
                self.input_blocks.append(Steps([down]))
                skips.append(current)
                factor *= 2
        self.middle_block = Steps([residual(current, current), attends(current, heads), residual(current, current)])
        self.output_blocks = nn.ModuleList()
        for level, wide in reversed(list(enumerate(widths))):
            for block in range(blocks + 1):
                layers = [residual(current + skips.pop(), wide)]
                layers += [attends(wide, heads_up)] if factor in attention else []
                current = wide
                if level and block == blocks:
                    layers.append(residual(current, current, "up") if residual_sampling else Upsample(current))
                    factor //= 2
                self.output_blocks.append(Steps(layers))
        outputs = image_channels * (2 if learned_variance else 1)
        self.out = nn.Sequential(GroupNorm(GROUPS, current), nn.SiLU(), nn.Conv2d(current, outputs, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        features = timestep_features((t - 1).float() * self.timestep_scale, self.width)
        x = x.to(next(self.parameters()).dtype)
        embedding = self.time_embed(features.to(x.dtype))
        if self.label_emb is not None:
            embedding = embedding + self.label_emb(class_numbers(condition, None))
        skips, h = [], x
        for block in self.input_blocks:
            h = block(h, embedding)
            skips.append(h)
        h = self.middle_block(h, embedding)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), embedding)
        output: Tensor = self.out(h)
        return output


def timestep_features(t: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of geometrically spaced frequencies (Vaswani 2017, section 3.5): [rows] → [rows, width]."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * (-math.log(LONGEST_PERIOD) / half))
    angles = t.unsqueeze(1) * frequencies
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, width % 2))


class Steps(nn.ModuleList):
    """Layers one after the other, of which residual blocks read the embedding."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ResidualBlock) else layer(x)
        return x


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with a skip; `resample` is "down" or "up", before the first of them, or ""."""

    def __init__(self, inputs: int, outputs: int, embedding: int, modulated: bool, resample: str):
        super().__init__()
        self.modulated, self.resample = modulated, resample
        self.in_layers = nn.Sequential(GroupNorm(GROUPS, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, (2 if modulated else 1) * outputs))
        self.out_layers = nn.Sequential(
            GroupNorm(GROUPS, outputs), nn.SiLU(), nn.Identity(), nn.Conv2d(outputs, outputs, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        norm, activation, convolution = self.in_layers
        h = convolution(self._resampled(activation(norm(x))))
        x = self._resampled(x)
        modulation = self.emb_layers(embedding)[:, :, None, None]
        norm, *rest = self.out_layers
        if self.modulated:
            scale, shift = modulation.chunk(2, dim=1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + modulation)
        for layer in rest:
            h = layer(h)
        added: Tensor = self.skip_connection(x) + h
        return added

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.resample == "up" else x


class AttentionBlock(nn.Module):
    """Self-attention over all pixels, with a skip. Raises ValueError where channels do not split into heads."""

    def __init__(self, channels: int, heads: int, heads_outside: bool):
        super().__init__()
        if not heads or channels % heads:
            raise ValueError(f"{channels} channels do not split into {heads} heads")
        self.heads, self.heads_outside = heads, heads_outside
        self.norm = GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x).flatten(2))
        if self.heads_outside:
            q, k, v = qkv.view(rows, 3, self.heads, channels // self.heads, -1).transpose(3, 4).unbind(1)
        else:
            q, k, v = qkv.view(rows, self.heads, 3, channels // self.heads, -1).transpose(3, 4).unbind(2)
        attended = attend(q, k, v, training=self.training).transpose(2, 3).reshape(rows, channels, -1)
        added: Tensor = x + self.proj_out(attended).view(rows, channels, height, width)
        return added


class Downsample(nn.Module):
    """A convolution of stride 2."""

    def __init__(self, channels: int):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.op(x)
        return h
