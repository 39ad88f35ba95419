"""The teacher of a few-step student, and what its runs are conditioned on."""

import math
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.weights import fingerprint
from model.conditions import NO_LABEL, Conditions
from model.text_encoder import TextEncoder
from training.data.captions import CaptionedSet
from training.data.hinted_images import HintedImages
from training.data.training_set import TrainingSet
from training.flow_map_section import FlowMapSection

AT_ONCE = 256  # captions or hints that are drawn side by side


@dataclass(frozen=True, eq=False)
class Teacher:
    """A denoiser, perhaps with a ControlNet.

    real     what the denoiser was trained on, with captions where it reads prompts, and hints beside a ControlNet
    control  the ControlNet whose hints all runs follow; None where they follow none
    """

    denoiser: DenoiserCheckpoint
    real: TrainingSet
    control: ControlCheckpoint | None = None

    @property
    def identity(self) -> list[str]:
        """What the runs depend on besides the recipe: all weights, and how strongly hints count."""
        parts = (self.denoiser, self.denoiser.text, self.control)
        weights = [fingerprint(part.network) for part in parts if part is not None]
        return weights if self.control is None else [*weights, f"{self.control.config.control_scale:g}"]

    def conditions(self, n: int, section: FlowMapSection, generator: torch.Generator) -> Conditions:
        """Of n runs. A hint alone is guided at every noise level: shape is decided in noise, where the interval of
        labels and prompts would switch it off."""
        denoiser = self.denoiser
        if self.control is not None:
            label, hints, scales = draw_hints(n, cast(HintedImages, self.real), section, generator)
            drawn = Conditions(label if denoiser.config.classes else torch.full_like(label, NO_LABEL), scales)
            drawn = drawn.with_hints(hints, self.control.hint, self.control.config.control_scale)
        elif denoiser.text is not None:
            text, scales = draw_prompts(n, cast(CaptionedSet, self.real), denoiser.text, section, generator)
            drawn = Conditions(torch.full((n,), NO_LABEL), scales, text=text)
        else:
            drawn = Conditions(*draw_labels(n, denoiser.config.classes, section, generator))
        if section.guidance_interval is None:
            return drawn
        interval = torch.tensor(section.guidance_interval, dtype=torch.float64).expand(n, -1)
        everywhere = torch.tensor((0.0, math.inf), dtype=torch.float64)
        hint_alone = (drawn.guided & ~drawn.conditioned).unsqueeze(1)
        return replace(drawn, guidance_interval=torch.where(hint_alone, everywhere, interval))


def draw_labels(n: int, labels: int, section: FlowMapSection, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(labels [n] int64, scales [n] float32) of n runs. Labels are drawn evenly; a dropped one has scale 1."""
    label = torch.randint(labels, (n,), generator=generator) if labels else torch.full((n,), NO_LABEL)
    dropped, scale = _drawn(n, section, generator)
    label = torch.where(dropped, NO_LABEL, label)
    return label, torch.where(label == NO_LABEL, 1.0, scale)


def draw_prompts(
    n: int, captioned: CaptionedSet, encoder: TextEncoder, section: FlowMapSection, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(text vectors [n, d] float32, scales [n] float32) of n runs. Prompts are captions of random training rows; a
    dropped one has scale 1."""
    vocabulary, text = captioned.vocabulary, []
    for first in range(0, n, AT_ONCE):
        _, traits = captioned.draw(min(AT_ONCE, n - first), generator)
        captions = captioned.captions_of(traits, generator)
        text.append(encoder.embed([vocabulary.read(caption.text) for caption in captions]))
    dropped, scale = _drawn(n, section, generator)
    return torch.where(dropped.unsqueeze(1), 0.0, torch.cat(text)), torch.where(dropped, 1.0, scale)


def draw_hints(
    n: int, hinted: HintedImages, section: FlowMapSection, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """(labels [n] int64, hints [n, 1, H, W] in 0 … 1 in steps of 1/255, scales [n] float32) of n runs. The hints are of
    random training images, and so are the labels. Where a label is dropped, the hint alone is guided."""
    labels, hints = [], []
    for first in range(0, n, AT_ONCE):
        rows, label = hinted.draw(min(AT_ONCE, n - first), generator)
        hints.append((255 * rows[:, -1:]).round() / 255)
        labels.append(label)
    dropped, scale = _drawn(n, section, generator)
    return torch.where(dropped, NO_LABEL, torch.cat(labels)), torch.cat(hints), scale


def _drawn(n: int, section: FlowMapSection, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(whether the condition is dropped [n] bool, the scale [n] float32)"""
    dropped = torch.rand(n, generator=generator) < section.label_drop
    low, high = section.guidance_range
    return dropped, low + (high - low) * torch.rand(n, generator=generator)
