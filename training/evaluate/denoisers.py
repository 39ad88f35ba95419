"""Measure a denoiser: samples drawn by its own settings or by a cell's, and compared with real ones."""

import math
from dataclasses import asdict

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from model.checkpoint import Checkpoint, Precision, SamplingConfig
from model.conditions import NO_LABEL
from training.data import trained_on
from training.data.captions import captioned_mnist, held_out_prompts
from training.evaluate.figures import Figures, rounded, settings_of
from training.evaluate.images import image_figures
from training.evaluate.points import (
    energy_distance,
    point_figures,
    sliced_wasserstein,
    sliced_wasserstein_within_labels,
    spread_within_labels,
)
from training.evaluate.prompts import adherence
from training.evaluate.reference import ImageReference
from training.generate import Steering, generate, labelled, labels_in_proportion, prompted
from training.recipe import RecipeError

POINT_SEEDS = 10
POINT_STEPS = 50  # at which 2-D checkpoints are measured, whatever they are served at


def evaluate_images(
    checkpoint: Checkpoint,
    reference: ImageReference,
    options: SamplingConfig,
    *,
    samples: int,
    seed: int,
    precision: Precision,
    device: torch.device,
    steering: Steering | None = None,
) -> tuple[Figures, Tensor]:
    """(figures, the samples [n, C, H, W] in 0 … 255 in order of their labels)"""
    at_most = len(reference.test_features)
    if samples > at_most:
        raise RecipeError(f"samples: at most {at_most}, as many as there are real test images to compare with")
    asked = labels_in_proportion(reference.label_counts, samples)
    shown = asked if steering or checkpoint.config.data.labels else np.full(samples, NO_LABEL)
    with Progress(transient=True) as progress:
        task = progress.add_task("sampling", total=samples)
        images = generate(
            checkpoint,
            labelled(shown, options, steering),
            options,
            guide=steering and steering.guide,
            seed=seed,
            device=device,
            precision=precision,
            advance=lambda rows: progress.advance(task, rows),
        )
    images = images.round().clamp(0, 255)
    figures = image_figures(reference.judge.look(images), asked, reference.train_features, reference.test_features)
    measured = {name: rounded(value) for name, value in asdict(figures).items()}
    if not _asks_for_labels(checkpoint, options, steering):
        del measured["label_accuracy"]
    return {
        "samples": samples,
        "seed": seed,
        "computed_in": precision,  # "precision" is the k-NN measure
        **settings_of(options, steering),
        "judge": reference.judge.config.name,
        **measured,
        "frechet_ratio": rounded(figures.frechet_ratio),
    }, images


def evaluate_points(
    checkpoint: Checkpoint,
    options: SamplingConfig,
    *,
    samples: int,
    seed: int,
    device: torch.device,
    seeds: int = POINT_SEEDS,
    steering: Steering | None = None,
) -> tuple[Figures, tuple[Tensor, Tensor]]:
    """(means over `seeds` runs (2 or more) of `samples` points, (points, labels) of the first run)"""
    data = trained_on(checkpoint.config)
    runs: list[dict[str, float]] = []
    shown = None
    for run in range(seeds):
        generator = torch.Generator().manual_seed(seed + run)
        real, real_labels = data.draw(samples, generator)
        # The floor's draw lends its labels: both are as far from the other draw by chance.
        other, labels = data.draw(samples, generator)
        asked = labels if steering or checkpoint.config.data.labels else torch.full_like(labels, NO_LABEL)
        # Runs must not share a sample: run r takes the seeds seed + r·samples …
        points = generate(
            checkpoint,
            labelled(asked.numpy(), options, steering),
            options,
            guide=steering and steering.guide,
            seed=seed + run * samples,
            device=device,
        )
        shown = shown or (points, labels)
        figures = asdict(point_figures(points, labels, real, real_labels))
        figures["sliced_wasserstein_floor"] = sliced_wasserstein(other, real)
        figures["energy_floor"] = energy_distance(other, real)
        if _asks_for_labels(checkpoint, options, steering):
            figures["spread"] = spread_within_labels(points, labels, other, labels)
            figures["within_labels"] = sliced_wasserstein_within_labels(points, labels, real, real_labels)
            figures["within_labels_floor"] = sliced_wasserstein_within_labels(other, labels, real, real_labels)
        runs.append(figures)
    mean = {name: rounded(float(np.mean([run[name] for run in runs]))) for name in runs[0]}
    if not _asks_for_labels(checkpoint, options, steering):
        del mean["label_accuracy"]
    spread = float(np.std([run["sliced_wasserstein"] for run in runs], ddof=1)) / math.sqrt(seeds)
    if "within_labels" in mean:
        mean["within_labels_ratio"] = rounded(mean["within_labels"] / mean["within_labels_floor"])
    return {
        "samples": samples,
        "seeds": seeds,
        "seed": seed,
        **settings_of(options, steering),
        **mean,
        "sliced_wasserstein_standard_error": rounded(spread),
        "sliced_wasserstein_ratio": rounded(mean["sliced_wasserstein"] / mean["sliced_wasserstein_floor"]),
    }, shown


def evaluate_prompts(
    checkpoint: Checkpoint,
    reference: ImageReference,
    options: SamplingConfig,
    *,
    samples: int,
    seed: int,
    precision: Precision,
    device: torch.device,
    steering: Steering | None = None,
) -> tuple[Figures, Tensor]:
    """(shares of held-out prompts that are followed, the samples [n, C, H, W] in 0 … 255)"""
    encoder = steering.guide.text if steering else checkpoint.text
    prompts = held_out_prompts(samples)
    text = encoder.embed([encoder.config.vocabulary.read(prompt.text) for prompt in prompts])
    with Progress(transient=True) as progress:
        task = progress.add_task("sampling", total=samples)
        images = generate(
            checkpoint,
            prompted(text, options, steering),
            options,
            guide=steering and steering.guide,
            seed=seed,
            device=device,
            precision=precision,
            advance=lambda rows: progress.advance(task, rows),
        )
    images = images.round().clamp(0, 255)
    shares = adherence(images, prompts, reference.judge, captioned_mnist(train=False).bounds)
    return {
        "samples": samples,
        "seed": seed,
        "computed_in": precision,
        **settings_of(options, steering),
        "judge": reference.judge.config.name,
        **{name: rounded(share) for name, share in shares.items()},
    }, images


def _asks_for_labels(checkpoint: Checkpoint, options: SamplingConfig, steering: Steering | None) -> bool:
    """Whether samples can be read for what was asked: at scale 0 nothing is."""
    if steering is not None and steering.scale > 0:
        return True
    return bool(checkpoint.config.data.labels) and (steering is not None or options.guidance_scale > 0)
