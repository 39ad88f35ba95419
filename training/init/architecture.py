"""Propose networks: their kind, width and depth, by the data's shape and amount and by the device."""

import math

from training.init.choices import Choice, Choices, Section
from training.init.roles import FEW, DataSummary, UnsupportedRole

LAST_LEVEL = 8  # pixels a side of a network's last level, at most: it attends
ATTENDED = 32**2  # pixels of the last level, at most

Widths = tuple[int, int, int, int]
"""Channels of up to four levels."""


def denoiser_network(summary: DataSummary) -> Section:
    """A UNet or an MLP; with `taken_from`, that checkpoint's network. Raises UnsupportedRole."""
    if summary.taken_from is not None:
        network = summary.taken_from.network.model_dump(mode="json")
        choices = {key: Choice(value) for key, value in network.items()}
        return Section(choices, f"{summary.taken_from.name}'s, as training starts from its weights")
    if not summary.images:
        return Section({"kind": Choice("mlp")} | _mlp(summary))
    return Section({"kind": Choice("unet")} | _levels(summary, (48, 96, 96, 96), (32, 64, 64, 64), (96, 192, 192, 192)))


def weak_network(summary: DataSummary) -> Section:
    """The weak network for such a denoiser: a quarter of its cost. Raises UnsupportedRole."""
    why = "half as wide as what is proposed for the base"
    if not summary.images:
        return Section({"kind": Choice("mlp")} | _mlp(summary, 64, 128), why)
    widths = (24, 48, 48, 48), (16, 32, 32, 32), (48, 96, 96, 96)
    return Section({"kind": Choice("unet")} | _levels(summary, *widths), why)


def encoder_network(summary: DataSummary) -> Section:
    """An encoder of noisy rows, for a classifier or CLIP. Raises UnsupportedRole."""
    if not summary.images:
        return Section({"kind": Choice("point-encoder")} | _mlp(summary))
    return Section(
        {"kind": Choice("image-encoder")} | _levels(summary, (32, 64, 64, 64), (32, 64, 64, 64), (64, 128, 128, 128))
    )


def _mlp(summary: DataSummary, usual: int = 128, wide: int = 256) -> Choices:
    (dimensions,) = summary.data.shape
    of_many = dimensions > 32 or (dimensions > 8 and summary.rows > 10_000)
    return {"width": Choice(wide if of_many else usual, "of every layer"), "blocks": Choice(3)}


def _levels(summary: DataSummary, usual: Widths, few: Widths, gpu: Widths) -> Choices:
    """As many levels as make the last one small enough for attention; their channels are one of the three widths."""
    height, width = summary.data.shape[1:]
    patch = 1 if max(height, width) < 16 else 4 if max(height, width) >= (128 if summary.on_gpu else 64) else 2
    while height % patch or width % patch:
        patch //= 2
    sides = [(height // patch, width // patch)]
    while (max(sides[-1]) > LAST_LEVEL or len(sides) < 2) and len(sides) < len(usual):
        if any(side % 2 or side < 4 for side in sides[-1]):
            break
        sides.append((sides[-1][0] // 2, sides[-1][1] // 2))
    if math.prod(sides[-1]) > ATTENDED:
        raise UnsupportedRole(
            f"--size {height}x{width}: cannot be halved often enough; give sides that are multiples of 8"
        )
    channels, why = usual, "wide enough for some thousand images, and quick enough for a CPU"
    if summary.rows < FEW:
        channels, why = few, "narrow, for so few images"
    elif summary.on_gpu:
        channels, why = gpu, "wide, as there is a GPU"
    resolutions = ", ".join(f"{high}×{wide}" for high, wide in sides)
    behind = f", behind {patch}×{patch} patches" if patch > 1 else ""
    return {
        "channels": Choice(list(channels[: len(sides)]), f"at {resolutions}{behind}; {why}"),
        "blocks": Choice(2, "a level"),
        "attention": Choice([len(sides) - 1], "at this level, from 0 on"),
        "patch": Choice(patch),
        "groups": Choice(8),
    }
