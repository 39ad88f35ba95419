"""Evaluate one checkpoint: samples drawn, figures taken, settings beside them."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F

from model.checkpoint import Checkpoint, Precision, SamplingConfig
from model.classifier import ClassifierCheckpoint
from model.conditions import NO_LABEL
from model.control import ControlCheckpoint
from model.hints import OF_IMAGE, given_hint
from model.plan import Variance, trailing_timesteps
from model.prediction import diffused
from model.reader import Guide
from model.weights import CheckpointError
from training.data import training_set
from training.data.captions import captioned_mnist, held_out_prompts
from training.data.digits import mnist
from training.data.drawings import drawings
from training.data.hinted import rough
from training.evaluate.clip import zero_shot_prompts
from training.evaluate.control import agreement, another_of_the_class
from training.evaluate.images import image_figures
from training.evaluate.judge import Judge, load_judge
from training.evaluate.likelihood import Bits, bits_per_dimension
from training.evaluate.points import (
    energy_distance,
    point_figures,
    sliced_wasserstein,
    sliced_wasserstein_within_labels,
    spread_within_labels,
)
from training.evaluate.prompts import adherence
from training.generate import Steering, followed, generate, labelled, labels_in_proportion, prompted
from training.recipe import RecipeError

CLASSIFIER_BATCH = 500
POINT_SEEDS = 10
POINT_STEPS = 50  # at which 2-D checkpoints are measured, whatever they are served at

Figures = dict[str, Any]
"""JSON-plain: settings and what was measured at them."""


@dataclass(frozen=True, eq=False)
class ImageReference:
    """What generated images are compared with: real ones, as the judge sees them. Made once, used for many."""

    judge: Judge
    label_counts: np.ndarray  # of the training images
    train_features: Tensor
    test_features: Tensor


def image_reference(checkpoints: Path, device: torch.device) -> ImageReference:
    """With the judge that lies beside the checkpoints. Raises RecipeError where there is none."""
    try:
        judge = load_judge(checkpoints / "mnist-judge", device)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    train, test = mnist(train=True), mnist(train=False)
    (train_features, _), (test_features, _) = judge.look(train.images), judge.look(test.images)
    return ImageReference(judge, np.bincount(train.labels.numpy()), train_features, test_features)


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
    measured = {name: _rounded(value) for name, value in asdict(figures).items()}
    if not _asks_for_labels(checkpoint, options, steering):
        del measured["label_accuracy"]
    return {
        "samples": samples,
        "seed": seed,
        "computed_in": precision,  # "precision" is the k-NN measure
        **_settings(options, steering),
        "judge": reference.judge.config.name,
        **measured,
        "frechet_ratio": _rounded(figures.frechet_ratio),
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
    data = training_set(checkpoint.config.data.dataset)
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
    mean = {name: _rounded(float(np.mean([run[name] for run in runs]))) for name in runs[0]}
    if not _asks_for_labels(checkpoint, options, steering):
        del mean["label_accuracy"]
    spread = float(np.std([run["sliced_wasserstein"] for run in runs], ddof=1)) / math.sqrt(seeds)
    if "within_labels" in mean:
        mean["within_labels_ratio"] = _rounded(mean["within_labels"] / mean["within_labels_floor"])
    return {
        "samples": samples,
        "seeds": seeds,
        "seed": seed,
        **_settings(options, steering),
        **mean,
        "sliced_wasserstein_standard_error": _rounded(spread),
        "sliced_wasserstein_ratio": _rounded(mean["sliced_wasserstein"] / mean["sliced_wasserstein_floor"]),
    }, shown


@dataclass(frozen=True)
class Likelihood:
    """The bound over one chain. timesteps [steps] are those of the terms, T first."""

    figures: Figures
    timesteps: np.ndarray
    bits: dict[Variance, Bits]


def measure_likelihood(
    checkpoint: Checkpoint, steps: int, *, rows: int, seed: int, precision: Precision, device: torch.device
) -> Likelihood:
    """Bits per dimension of test images, or of points that were not trained on, over a chain of `steps` steps."""
    data = checkpoint.config.data
    if data.kind == "images":
        x = mnist(train=False).images[:rows]
    else:
        x, _ = training_set(data.dataset).draw(rows, torch.Generator().manual_seed(seed))
    with Progress(transient=True) as progress:
        task = progress.add_task(f"{steps} steps", total=len(x) * steps)
        bits = bits_per_dimension(
            checkpoint.denoiser(device, precision),
            data,
            x,
            steps,
            seed=seed,
            advance=lambda evaluations: progress.advance(task, evaluations),
        )
    best = bits.get("learned", bits["fixed-small"])
    figures: Figures = {"samples": len(x), "seed": seed, "computed_in": precision, "steps": steps}
    figures["prior"], figures["decoder"] = _rounded(best.prior), _rounded(best.terms[-1].item())
    for variance, of in bits.items():
        figures[f"bits_{variance.replace('-', '_')}"] = _rounded(of.mean)
        figures[f"standard_error_{variance.replace('-', '_')}"] = _rounded(of.standard_error)
    return Likelihood(figures, trailing_timesteps(checkpoint.schedule.T, steps)[:-1], bits)


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
        **_settings(options, steering),
        "judge": reference.judge.config.name,
        **{name: _rounded(share) for name, share in shares.items()},
    }, images


@dataclass(frozen=True, eq=False)
class Followed:
    """Hints, and what was made of them: all [n, 1, H, W], hints in 0 … 1, images in 0 … 255."""

    sources: Tensor
    hints: Tensor
    labelled: Tensor
    alone: Tensor


def evaluate_control(
    control: ControlCheckpoint,
    base: Checkpoint,
    reference: ImageReference,
    options: SamplingConfig,
    *,
    scale: float,
    samples: int,
    seed: int,
    precision: Precision,
    device: torch.device,
) -> tuple[Figures, Followed]:
    """(how well hints of the first test images are followed, with their label and with none, what came of it)"""
    test = mnist(train=False)
    if samples > len(test):
        raise RecipeError(f"samples: at most {len(test)}, as many as there are test images to take hints of")
    sources, labels = test.images[:samples], test.labels[:samples]
    hints = torch.stack([torch.from_numpy(OF_IMAGE[control.hint](image)) for image in sources[:, 0].numpy()])
    hints = hints.unsqueeze(1)
    if control.hint == "sketch":
        hints = rough(hints, torch.Generator().manual_seed(seed))
    made = {}
    shown = {"labelled": labels, "alone": torch.full_like(labels, NO_LABEL)}
    with Progress(transient=True) as progress:
        task = progress.add_task("sampling", total=2 * samples)
        for way, asked in shown.items():
            images = generate(
                base,
                followed(labelled(asked.numpy(), options), hints, control.hint, scale),
                options,
                control=control,
                seed=seed,
                device=device,
                precision=precision,
                advance=lambda rows: progress.advance(task, rows),
            )
            made[way] = images.round().clamp(0, 255)
    read = {way: reference.judge.look(images)[1] for way, images in made.items()}
    others = hints[another_of_the_class(labels.numpy())]
    figures = {
        "agreement": agreement(made["labelled"], hints, control.hint),
        "agreement_alone": agreement(made["alone"], hints, control.hint),
        "agreement_ceiling": agreement(sources, hints, control.hint),
        "agreement_floor": agreement(made["labelled"], others, control.hint),
        "label_accuracy": (read["labelled"] == labels).double().mean().item(),
        "label_accuracy_alone": (read["alone"] == labels).double().mean().item(),
    }
    settings = {"samples": samples, "seed": seed, "computed_in": precision, "base": base.config.name}
    return {
        **settings,
        **_settings(options, None),
        "control_scale": scale,
        "judge": reference.judge.config.name,
        **{name: _rounded(value) for name, value in figures.items()},
    }, Followed(sources, hints, **made)


def evaluate_drawings(
    control: ControlCheckpoint,
    base: Checkpoint,
    reference: ImageReference,
    options: SamplingConfig,
    *,
    scale: float,
    seed: int,
    precision: Precision,
    device: torch.device,
) -> tuple[Figures, Followed]:
    """The same of drawings by hand, through what a request's picture goes through."""
    drawn = drawings()
    labels = torch.tensor([one.digit for one in drawn])
    _, *size = base.config.data.shape
    hints = np.stack([given_hint(one.picture, control.hint, tuple(size)) for one in drawn])
    hints = torch.from_numpy(hints).unsqueeze(1)
    made = []
    for asked in (labels, torch.full_like(labels, NO_LABEL)):
        conditions = followed(labelled(asked.numpy(), options), hints, control.hint, scale)
        images = generate(base, conditions, options, control=control, seed=seed, device=device, precision=precision)
        made.append(images.round().clamp(0, 255))
    right = [(reference.judge.look(images)[1] == labels).double().mean().item() for images in made]
    sources = torch.from_numpy(np.stack([one.picture for one in drawn])).unsqueeze(1).float()
    figures = {"drawings": _rounded(right[0]), "drawings_alone": _rounded(right[1])}
    return figures, Followed(255 - F.interpolate(sources, size, mode="area"), hints, *made)


def _asks_for_labels(checkpoint: Checkpoint, options: SamplingConfig, steering: Steering | None) -> bool:
    """Whether samples can be read for what was asked: at scale 0 nothing is."""
    if steering is not None and steering.scale > 0:
        return True
    return bool(checkpoint.config.data.labels) and (steering is not None or options.guidance_scale > 0)


def evaluate_judge(judge: Judge) -> Figures:
    """Accuracy on the real test images."""
    test = mnist(train=False)
    _, classes = judge.look(test.images)
    return {"samples": len(test), "test_accuracy": _rounded((classes == test.labels).double().mean().item())}


CLASSIFIER_LEVELS = np.linspace(0, 1, 21)  # t/T
NAMED_LEVELS = (0.0, 0.1, 0.25, 0.5, 0.75)  # those whose accuracy stands in the card


def evaluate_reader(
    guide: Guide, *, samples: int, seed: int, device: torch.device
) -> tuple[Figures, np.ndarray, np.ndarray]:
    """(figures, t [levels], accuracy [levels]): what is read right of noisy rows that were not trained on.

    A classifier reads the label; CLIP is asked which of the labels' prompts goes best.
    """
    data, schedule = guide.data, guide.schedule
    if data.kind == "images":
        test = mnist(train=False)
        rows, labels = test.images[:samples].float(), test.labels[:samples]
    else:
        rows, labels = training_set(data.dataset).draw(samples, torch.Generator().manual_seed(seed))
    scores = _scores(guide, device)
    generator = torch.Generator().manual_seed(seed + 1)
    levels = np.union1d(CLASSIFIER_LEVELS, NAMED_LEVELS)
    timesteps = np.rint(levels * schedule.T).astype(np.int64)
    accuracy = np.zeros(len(levels))
    for level, t in enumerate(timesteps.tolist()):
        right = 0
        for batch, wanted in zip(rows.split(CLASSIFIER_BATCH), labels.split(CLASSIFIER_BATCH), strict=True):
            noise = torch.randn(batch.shape, generator=generator)
            x_t = diffused(data.standardise(batch), noise, torch.full((len(batch),), float(schedule.alpha_bar[t])))
            with torch.inference_mode():
                score = scores(x_t.to(device), torch.full((len(batch),), t, device=device))
            right += int((score.argmax(1).cpu() == wanted).sum())
        accuracy[level] = right / len(rows)
    figures: Figures = {"samples": len(rows), "seed": seed}
    for level in NAMED_LEVELS:
        figures[f"accuracy at t/T = {level:g}"] = _rounded(float(accuracy[np.searchsorted(levels, level)]))
    return figures, timesteps, accuracy


def _scores(guide: Guide, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """(x_t, t) → [rows, classes], the largest for the class that is read."""
    if isinstance(guide, ClassifierCheckpoint):
        return guide.classifier(device).log_probabilities
    clip, prompts = guide.clip(device), zero_shot_prompts(guide).to(device)
    return lambda x_t, t: clip.logits(x_t, t, prompts)


def _settings(options: SamplingConfig, steering: Steering | None) -> dict[str, Any]:
    fields = {"sampler", "steps", "guidance_scale"} | ({"variance"} if options.sampler == "ddpm" else set())
    settings = options.model_dump(mode="json", include=fields)
    if steering is not None:
        settings |= {"guidance_scale": steering.scale, "guide": steering.guide.name}
    return settings


def _rounded(value: float) -> float:
    """Five digits that count: more would be noise in a diff."""
    return float(f"{value:.5g}")
