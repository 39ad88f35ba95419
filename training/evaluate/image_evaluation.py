"""Measure a denoiser of images: generate samples and compare them with real images."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from model.checkpoints.clip import ClipCheckpoint
from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import NO_LABEL, Conditions
from training.data import captioned_as_trained
from training.data.captions import Caption, CaptionedSet
from training.data.digit_captions import CaptionedDigits
from training.data.training_set import TrainingSet, finite
from training.evaluate.measurement import Metrics, computed, rounded, settings_of
from training.evaluate.sampling_run import Generated, SamplingRun, requests_labels
from training.generate import generate, labelled, labels_in_proportion, prompted
from training.metrics.image_metrics import image_metrics
from training.metrics.image_reference import ImageReference
from training.metrics.point_metrics import energy_distance
from training.metrics.prompt_adherence import adherence, recalled, share_true
from training.recipe import RecipeError

PIXEL_ROWS = 1_000  # images on either side whose pixels are compared


def evaluate_images(
    checkpoint: DenoiserCheckpoint,
    reference: ImageReference,
    options: SamplingConfig,
    run: SamplingRun,
    *,
    samples: int,
) -> tuple[Metrics, Generated]:
    """(metrics, samples in the order of their labels)"""
    generated = generate_labelled(checkpoint, reference.data, options, run, samples=samples)
    labels = generated.labels if requests_labels(checkpoint, options, run.guidance) else None
    return _settings(options, run, samples) | _against_real(generated.rows, labels, reference), generated


def evaluate_prompts(
    checkpoint: DenoiserCheckpoint,
    reference: ImageReference,
    options: SamplingConfig,
    run: SamplingRun,
    *,
    samples: int,
    clip: ClipCheckpoint | None = None,
) -> tuple[Metrics, Generated]:
    """(metrics of prompt adherence, samples of held-out prompts)

    clip  finds the nearest prompt of a sample of own data; None if there is no CLIP of such data

    Raises RecipeError if the prompts are for digits and there is no judge.
    """
    data = _captioned_data(checkpoint, run)
    if isinstance(data, CaptionedDigits):
        judged = reference.judged
        if judged is None:
            raise RecipeError("prompts for digits are measured by a judge, and there is none: `train mnist-judge`")
        generated, prompts = generate_prompted(checkpoint, data, options, run, samples=samples)
        metrics: Metrics = {**adherence(generated.rows, prompts, judged, data.bounds), **reference.judged_by}
    else:
        generated, prompts = generate_prompted(checkpoint, data, options, run, samples=samples)
        metrics = {}
        if clip is not None:
            metrics = {**recalled(generated.rows, prompts, clip, data), "clip": clip.name}
        metrics |= _against_real(generated.rows, None, reference)
    return _settings(options, run, samples) | metrics, generated


def evaluate_captions(
    checkpoint: DenoiserCheckpoint,
    reference: ImageReference,
    options: SamplingConfig,
    run: SamplingRun,
    *,
    samples: int,
) -> tuple[Metrics, Generated]:
    """(metrics, samples of the captions of held-out images)

    These captions are as frequent as in real data, so the samples can be compared with real images as a whole.
    """
    data = _captioned_data(checkpoint, run)
    captions = data.held_out_captions(samples, run.seed).captions
    generated = _generate_captions(checkpoint, captions, options, run)
    metrics = _against_real(generated.rows, None, reference)
    if isinstance(data, CaptionedDigits) and reference.judged is not None:
        metrics["captions_true"] = share_true(generated.rows, captions, reference.judged, data.bounds)
    return _settings(options, run, len(captions)) | metrics, generated


def generate_labelled(
    checkpoint: DenoiserCheckpoint, data: TrainingSet, options: SamplingConfig, run: SamplingRun, *, samples: int
) -> Generated:
    """Samples of the labels in the training proportions, in the order of the labels."""
    classes = len(data.config.labels)
    labels = np.full(samples, NO_LABEL)
    towards_labels = run.guidance is not None and run.guidance.conditioning is not None
    if classes and (towards_labels or checkpoint.config.data.labels):
        known = data.held_out if data.examples is None else data.examples
        labels = labels_in_proportion(np.bincount(known.labels.numpy(), minlength=classes), samples)
    rows = _generate(checkpoint, labelled(labels, options, run.guidance), options, run)
    return Generated(rows, torch.from_numpy(labels))


def generate_prompted(
    checkpoint: DenoiserCheckpoint, data: CaptionedSet, options: SamplingConfig, run: SamplingRun, *, samples: int
) -> tuple[Generated, list[Caption]]:
    """(samples of held-out prompts, these prompts)"""
    prompts = data.held_out_prompts(samples)
    return _generate_captions(checkpoint, prompts, options, run), prompts


def generate_conditioned(
    checkpoint: DenoiserCheckpoint, data: TrainingSet, options: SamplingConfig, run: SamplingRun, *, samples: int
) -> Generated:
    """Samples of prompts or labels, whichever the network is conditioned on; unconditional samples otherwise."""
    if checkpoint.config.conditioning == "text":
        return generate_prompted(checkpoint, _captioned_data(checkpoint, run), options, run, samples=samples)[0]
    return generate_labelled(checkpoint, data, options, run, samples=samples)


def _generate_captions(
    checkpoint: DenoiserCheckpoint, captions: Sequence[Caption], options: SamplingConfig, run: SamplingRun
) -> Generated:
    encoder = _prompt_reader(checkpoint, run).text
    if encoder is None:
        raise RecipeError(f"{checkpoint.config.name} has no text encoder, so it cannot be measured by prompts")
    text = encoder.embed([encoder.config.vocabulary.read(caption.text) for caption in captions])
    images = _generate(checkpoint, prompted(text, options, run.guidance), options, run)
    return Generated(images, torch.full((len(captions),), NO_LABEL))


def _captioned_data(checkpoint: DenoiserCheckpoint, run: SamplingRun) -> CaptionedSet:
    """The data that the reader of the prompts was trained on. Raises DataError if they have no captions."""
    return captioned_as_trained(_prompt_reader(checkpoint, run).config)


def _prompt_reader(checkpoint: DenoiserCheckpoint, run: SamplingRun) -> DenoiserCheckpoint | ClipCheckpoint:
    """The checkpoint whose text encoder reads the prompts: CLIP if it guides, else the denoiser."""
    guidance_model = run.guidance_model
    if guidance_model is None:
        return checkpoint
    if not isinstance(guidance_model, ClipCheckpoint):
        raise RecipeError(f"{guidance_model.name} reads no prompts: only a CLIP does")
    return guidance_model


def _settings(options: SamplingConfig, run: SamplingRun, samples: int) -> Metrics:
    """The settings that stand before the metrics; "computed_in" is the precision, as "precision" is the k-NN metric."""
    settings: Metrics = {"samples": samples, "seed": run.seed}
    return settings | computed(run) | settings_of(options, run.guidance)


def _generate(
    checkpoint: DenoiserCheckpoint, conditions: Conditions, options: SamplingConfig, run: SamplingRun
) -> Tensor:
    """A sample for each of the conditions, [n, …] in the data's own units; images in whole numbers 0 … 255."""
    with Progress(transient=True) as progress:
        task = progress.add_task("sampling", total=len(conditions))
        samples = generate(
            checkpoint,
            conditions,
            options,
            guidance_model=run.guidance_model,
            seed=run.first_seed,
            device=run.device,
            precision=run.precision,
            compile=run.compile,
            advance=lambda rows: progress.advance(task, rows),
        )
    return samples.round().clamp(0, 255) if checkpoint.config.data.kind == "images" else samples


def _against_real(images: Tensor, labels: Tensor | None, reference: ImageReference) -> Metrics:
    """The judge's metrics of images; without a judge, the distance of their pixels from those of real images.

    images  [n, C, H, W] in 0 … 255
    labels  [n] that were requested; None if none were
    """
    if reference.judged is None:
        return _pixel_metrics(images, reference.data)
    features, classes = reference.judged.judge.look(images)
    metrics: Metrics = dict(reference.judged_by)
    if labels is not None:
        metrics["label_accuracy"] = _share_read(classes, labels)
        metrics["label_accuracy_of_real"] = _share_read(reference.judged.test_classes, reference.data.held_out.labels)
    both_classes = None if labels is None else (labels, reference.data.held_out.labels)
    found = image_metrics(features, reference.judged.train_features, reference.judged.test_features, both_classes)
    if found is None:
        return metrics
    metrics |= {name: rounded(value) for name, value in asdict(found).items()} | {"compared": found.compared}
    return metrics | {"frechet_ratio": rounded(found.frechet_ratio)}


def _share_read(classes: Tensor, labels: Tensor) -> float:
    """The share that is read as it is labelled."""
    return rounded((classes == labels).double().mean().item())


def _pixel_metrics(images: Tensor, data: TrainingSet) -> Metrics:
    """Energy distances between pixels in the network's range: samples against held-out images, and training images
    against these."""
    generator = torch.Generator().manual_seed(0)
    train = finite(data).rows
    n = min(len(images), len(data.held_out), len(train), PIXEL_ROWS)
    generated, real, other = (
        data.config.standardise(rows[torch.randperm(len(rows), generator=generator)[:n]].float()).flatten(1)
        for rows in (images, data.held_out.rows, train)
    )
    energy, floor = energy_distance(generated, real), energy_distance(other, real)
    return {"compared": n, "energy": rounded(energy), "energy_floor": rounded(floor)}
