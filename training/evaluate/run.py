"""Evaluate one checkpoint: samples drawn, figures taken, settings beside them."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from model.checkpoint import Checkpoint, CheckpointError, Precision, SamplingConfig
from model.denoiser import NO_LABEL
from training.data import training_set
from training.data.digits import mnist
from training.evaluate.images import image_figures
from training.evaluate.judge import Judge, load_judge
from training.evaluate.points import (
    energy_distance,
    point_figures,
    sliced_wasserstein,
    sliced_wasserstein_within_labels,
)
from training.generate import generate, labels_in_proportion
from training.recipe import RecipeError

POINT_SEEDS = 10
POINT_STEPS = 50  # at which 2-D checkpoints are measured, whatever they are served at

Figures = dict[str, Any]
"""JSON-plain: settings and what was measured at them."""


def evaluate_images(
    checkpoint: Checkpoint,
    judge: Judge,
    options: SamplingConfig,
    *,
    samples: int,
    seed: int,
    precision: Precision,
    device: torch.device,
) -> tuple[Figures, Tensor]:
    """(figures, the samples [n, C, H, W] in 0 … 255 in order of their labels)"""
    train, test = mnist(train=True), mnist(train=False)
    if samples > len(test):
        raise RecipeError(f"samples: at most {len(test)}, as many as there are real test images to compare with")
    counts = np.bincount(train.labels.numpy())
    asked = labels_in_proportion(counts, samples)
    with Progress(transient=True) as progress:
        task = progress.add_task("sampling", total=samples)
        images = generate(
            checkpoint,
            asked if checkpoint.config.data.labels else np.full(samples, NO_LABEL),
            options,
            seed=seed,
            device=device,
            precision=precision,
            advance=lambda rows: progress.advance(task, rows),
        )
    images = images.round().clamp(0, 255)
    train_features, _ = judge.look(train.images)
    test_features, _ = judge.look(test.images)
    figures = image_figures(judge.look(images), asked, train_features, test_features)
    measured = {name: _rounded(value) for name, value in asdict(figures).items()}
    if not _asks_for_labels(checkpoint, options):
        del measured["label_accuracy"]
    return {
        "samples": samples,
        "seed": seed,
        "computed_in": precision,  # "precision" is the k-NN measure
        **_settings(options),
        "judge": judge.config.name,
        **measured,
        "frechet_ratio": _rounded(figures.frechet_ratio),
    }, images


def evaluate_points(
    checkpoint: Checkpoint, options: SamplingConfig, *, samples: int, seed: int, device: torch.device
) -> tuple[Figures, tuple[Tensor, Tensor]]:
    """(means over POINT_SEEDS runs of `samples` points, (points, labels) of the first run)"""
    data = training_set(checkpoint.config.data.dataset)
    runs: list[dict[str, float]] = []
    shown = None
    for run in range(POINT_SEEDS):
        generator = torch.Generator().manual_seed(seed + run)
        real, real_labels = data.draw(samples, generator)
        # The floor's draw lends its labels: both are as far from the other draw by chance.
        other, labels = data.draw(samples, generator)
        asked = labels if checkpoint.config.data.labels else torch.full_like(labels, NO_LABEL)
        # Runs must not share a sample: run r takes the seeds seed + r·samples …
        points = generate(checkpoint, asked.numpy(), options, seed=seed + run * samples, device=device)
        shown = shown or (points, labels)
        figures = asdict(point_figures(points, labels, real, real_labels))
        figures["sliced_wasserstein_floor"] = sliced_wasserstein(other, real)
        figures["energy_floor"] = energy_distance(other, real)
        if _asks_for_labels(checkpoint, options):
            figures["within_labels"] = sliced_wasserstein_within_labels(points, labels, real, real_labels)
            figures["within_labels_floor"] = sliced_wasserstein_within_labels(other, labels, real, real_labels)
        runs.append(figures)
    mean = {name: _rounded(float(np.mean([run[name] for run in runs]))) for name in runs[0]}
    if not _asks_for_labels(checkpoint, options):
        del mean["label_accuracy"]
    spread = float(np.std([run["sliced_wasserstein"] for run in runs], ddof=1)) / math.sqrt(POINT_SEEDS)
    if "within_labels" in mean:
        mean["within_labels_ratio"] = _rounded(mean["within_labels"] / mean["within_labels_floor"])
    return {
        "samples": samples,
        "seeds": POINT_SEEDS,
        "seed": seed,
        **_settings(options),
        **mean,
        "sliced_wasserstein_standard_error": _rounded(spread),
        "sliced_wasserstein_ratio": _rounded(mean["sliced_wasserstein"] / mean["sliced_wasserstein_floor"]),
    }, shown


def _asks_for_labels(checkpoint: Checkpoint, options: SamplingConfig) -> bool:
    """Whether samples can be read for what was asked: at scale 0 nothing is."""
    return bool(checkpoint.config.data.labels) and options.guidance_scale > 0


def judge_beside(checkpoints: Path, device: torch.device) -> Judge:
    """Raises RecipeError where there is none."""
    try:
        return load_judge(checkpoints / "mnist-judge", device)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error


def evaluate_judge(judge: Judge) -> Figures:
    """Accuracy on the real test images."""
    test = mnist(train=False)
    _, classes = judge.look(test.images)
    return {"samples": len(test), "test_accuracy": _rounded((classes == test.labels).double().mean().item())}


def _settings(options: SamplingConfig) -> dict[str, Any]:
    return options.model_dump(mode="json", include={"sampler", "steps", "guidance_scale"})


def _rounded(value: float) -> float:
    """Five digits that count: more would be noise in a diff."""
    return float(f"{value:.5g}")
