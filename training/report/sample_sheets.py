"""Sheets of guided samples: along scales, by prompts, with captions, with hints."""

import math
import textwrap
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.checkpoints.clip import ClipCheckpoint
from model.checkpoints.config import SamplingConfig
from model.conditions import NO_LABEL, Conditions
from training.data import trained_on
from training.data.digit_captions import held_out_prompts
from training.data.drawings import DRAWN_DATASET
from training.data.hinted_images import HintedImages
from training.data.training_set import FiniteSet
from training.evaluate.hint_evaluation import drawing_hints
from training.generate import Guidance, generate, labelled, prompted, spread
from training.metrics.clip_retrieval import nearest_captions
from training.plotting import plt
from training.report.image_grid import SAMPLES_A_LINE, Draw, save_sheet, settings_of_scales
from training.report.pipeline import AutoguidedPipeline, GuidedPipeline, HintedPipeline, Pipeline

PROMPTS = ("a bold eight standing upright", "a wide thin zero", "the digit four leaning left")  # beside the card's own
NEAREST = 3  # captions shown for an image
HINTED = 200  # test images that hints are made from
CAPTIONS, CAPTIONED = 2_000, (2, 4)  # captions to choose from; lines × columns of images to choose for
SCALES = (0.0, 1.0, 3.0, 10.0)  # of a gradient
AUTOGUIDANCE_SCALES = (1.0, 2.0, 3.0)


def of_scales(pipeline: GuidedPipeline, device: torch.device) -> tuple[str, Draw]:
    """(name, picture): the same seeds at larger and larger gradient scales. Lines are scales, columns are labels."""
    checkpoint, guidance_model = pipeline.checkpoint, pipeline.guidance_model
    labels = spread(len(guidance_model.data.labels), SAMPLES_A_LINE)
    options = settings_of_scales(checkpoint.config)

    def draw(path: Path) -> None:
        asked = (labelled(labels, options, Guidance(guidance_model, scale)) for scale in SCALES)
        lines = [generate(checkpoint, one, options, guidance_model=guidance_model, device=device) for one in asked]
        save_sheet(torch.cat(lines), path, columns=len(labels))

    return pipeline.picture("scales"), draw


def of_autoguidance(pipeline: AutoguidedPipeline, device: torch.device) -> tuple[str, Draw]:
    """(name, picture): the same seeds, farther and farther away from the weak network. Lines are scales."""
    checkpoint, weak = pipeline.checkpoint, pipeline.guidance_model
    labels = np.full(SAMPLES_A_LINE, NO_LABEL)
    if checkpoint.data.labels:
        labels = np.resize(spread(len(checkpoint.data.labels), SAMPLES_A_LINE), SAMPLES_A_LINE)
    options = settings_of_scales(checkpoint.config)

    def draw(path: Path) -> None:
        asked = (labelled(labels, options, Guidance(weak, scale)) for scale in AUTOGUIDANCE_SCALES)
        lines = [generate(checkpoint, one, options, guidance_model=weak, device=device) for one in asked]
        save_sheet(torch.cat(lines), path, columns=SAMPLES_A_LINE)

    return pipeline.picture("scales"), draw


def of_prompts(pipeline: Pipeline, device: torch.device) -> tuple[str, tuple[str, ...], Draw]:
    """(name, prompts, picture): lines are prompts, columns are seeds, at the cards' settings."""
    checkpoint, guidance_model = pipeline.checkpoint, pipeline.guidance_model
    encoder = guidance_model.text if isinstance(guidance_model, ClipCheckpoint) else checkpoint.text
    if encoder is None:
        raise ValueError(f"{pipeline.title} is not conditioned on text")
    prompts = (*encoder.config.vocabulary.examples, *PROMPTS)
    advised = checkpoint.config.sampling
    options = guidance_model.overrides.applied_to(advised) if guidance_model else advised

    def draw(path: Path) -> None:
        text = encoder.embed([encoder.config.vocabulary.read(prompt) for prompt in prompts])
        guidance = None if guidance_model is None else Guidance(guidance_model, options.guidance_scale)
        asked = prompted(text.repeat_interleave(SAMPLES_A_LINE, dim=0), options, guidance)
        # The same seeds in every line.
        lines = [
            generate(
                checkpoint, asked[start : start + SAMPLES_A_LINE], options, guidance_model=guidance_model, device=device
            )
            for start in range(0, len(asked), SAMPLES_A_LINE)
        ]
        save_sheet(torch.cat(lines), path, columns=SAMPLES_A_LINE)

    return pipeline.picture("prompts"), prompts, draw


def of_captions(pipeline: GuidedPipeline, device: torch.device) -> tuple[str, Draw]:
    """(name, picture): samples, each with the captions that CLIP finds nearest."""
    clip, captions = pipeline.guidance_model, sorted({prompt.text for prompt in held_out_prompts(CAPTIONS)})
    if not isinstance(clip, ClipCheckpoint):
        raise ValueError(f"{clip.name} is no CLIP: it knows no captions")

    def draw(path: Path) -> None:
        checkpoint, nobody = pipeline.checkpoint, Conditions.none(math.prod(CAPTIONED))
        images = generate(checkpoint, nobody, settings_of_scales(checkpoint.config), device=device)
        nearest = nearest_captions(clip.clip(device), clip, images.round().clamp(0, 255), captions, NEAREST)
        lines, columns = CAPTIONED
        size = (3 * columns, 3.9 * lines)
        figure, panels = plt.subplots(lines, columns, figsize=size, dpi=90, squeeze=False, layout="constrained")
        for panel, image, found in zip(panels.flat, images, nearest, strict=True):
            panel.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=255)
            texts = (textwrap.fill(captions[one], 44, subsequent_indent="   ") for one in found)
            panel.set_xlabel("\n".join(texts), fontsize=7.5, loc="left")
            panel.set(xticks=[], yticks=[])
        figure.savefig(path, bbox_inches="tight")
        plt.close(figure)

    return pipeline.picture("captions"), draw


def of_hints(pipeline: HintedPipeline, device: torch.device) -> dict[str, tuple[str, Draw]]:
    """Caption → (name, picture)."""
    checkpoint, control = pipeline.checkpoint, pipeline.control
    advised, scale = checkpoint.config.sampling, control.config.control_scale

    def made(hints: Tensor, labels: Tensor, options: SamplingConfig = advised) -> Tensor:
        conditions = labelled(labels.numpy(), options).with_hints(hints, control.hint, scale)
        return generate(checkpoint, conditions, options, control=control, device=device)

    def by_label(path: Path) -> None:
        """Each line is a hint, then a sample for every label."""
        data = trained_on(checkpoint.config)
        few = data.held_out.some(HINTED)
        rows, _ = HintedImages(FiniteSet(data.config, few, few), control.hint).draw(
            SAMPLES_A_LINE, torch.Generator().manual_seed(0)
        )
        hints = rows[:, -1:]
        classes = torch.from_numpy(spread(len(checkpoint.config.data.labels), SAMPLES_A_LINE))
        lines = []
        for hint in hints:
            every = made(hint.expand(len(classes), -1, -1, -1), classes)
            lines.append(torch.cat([255 * hint.expand_as(every[:1]), every]))
        save_sheet(torch.cat(lines), path, columns=1 + len(classes))

    def by_hand(path: Path) -> None:
        """Four lines for each half of the drawings: drawing, hint, sample without a label, sample with it."""
        drawn = drawing_hints(control.config)
        alone = made(drawn.hints, torch.full_like(drawn.labels, NO_LABEL), control.config.sampling.applied_to(advised))
        lines = (255 - drawn.sources, 255 * drawn.hints, alone, made(drawn.hints, drawn.labels))
        half = len(drawn.labels) // 2
        halves = [line[part] for part in (slice(None, half), slice(half, None)) for line in lines]
        save_sheet(torch.cat(halves), path, columns=half)

    found: dict[str, tuple[str, Draw]] = {}
    if labels := checkpoint.config.data.labels:
        shown = " … ".join(dict.fromkeys((labels[0], labels[-1])))
        found[f"A hint, and samples with the labels {shown}:"] = (f"{control.name}-labels.png", by_label)
    if checkpoint.config.data.dataset == DRAWN_DATASET:
        caption = "Drawings by hand, their hints, samples without a label, samples with it:"
        found[caption] = (f"{control.name}-drawings.png", by_hand)
    return found
