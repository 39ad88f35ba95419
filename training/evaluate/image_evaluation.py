"""Measure a denoiser of images: samples drawn by its own settings or by a cell's, and compared with real ones."""

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
from training.data.training_set import TrainingSet
from training.evaluate.measurement import Metrics, computed, rounded, settings_of
from training.evaluate.sampling_run import Generated, SamplingRun, asks_for_labels
from training.generate import generate, labelled, labels_in_proportion, prompted
from training.metrics.image_metrics import image_metrics
from training.metrics.image_reference import ImageReference
from training.metrics.point_metrics import energy_distance
from training.metrics.prompt_adherence import adherence, recalled, share_true
from training.recipe import RecipeError

PIXEL_ROWS = 1_000  # images of each sort whose pixels are compared


def evaluate_images(
    checkpoint: DenoiserCheckpoint,
    reference: ImageReference,
    options: SamplingConfig,
    how: SamplingRun,
    *,
    samples: int,
) -> tuple[Metrics, Generated]:
    """(figures, the samples in order of their labels)"""
    drawn = draw_labelled(checkpoint, reference.data, options, how, samples=samples)
    asked = drawn.labels if asks_for_labels(checkpoint, options, how.guidance) else None
    return _settings(options, how, samples) | _against_real(drawn.rows, asked, reference), drawn


def evaluate_prompts(
    checkpoint: DenoiserCheckpoint,
    reference: ImageReference,
    options: SamplingConfig,
    how: SamplingRun,
    *,
    samples: int,
    clip: ClipCheckpoint | None = None,
) -> tuple[Metrics, Generated]:
    """(shares of held-out prompts that are followed, the samples)

    clip  what reads samples of own data for what was asked; None where there is none

    Raises RecipeError where digits are asked for, and there is no judge.
    """
    data = _said(checkpoint, how)
    if isinstance(data, CaptionedDigits) and reference.judged is None:
        raise RecipeError("prompts for digits are measured by a judge, and there is none: `train mnist-judge`")
    drawn, prompts = draw_prompted(checkpoint, data, options, how, samples=samples)
    if isinstance(data, CaptionedDigits):
        metrics = adherence(drawn.rows, prompts, reference.judged, data.bounds) | reference.judge_name
    else:
        metrics = {}
        if clip is not None:
            metrics = recalled(drawn.rows, prompts, clip, data) | {"clip": clip.name}
        metrics |= _against_real(drawn.rows, None, reference)
    return _settings(options, how, samples) | metrics, drawn


def evaluate_captions(
    checkpoint: DenoiserCheckpoint,
    reference: ImageReference,
    options: SamplingConfig,
    how: SamplingRun,
    *,
    samples: int,
) -> tuple[Metrics, Generated]:
    """(figures, samples of the captions of real images that are held out)

    What is asked for is as frequent then as in real data, so that samples compare with that as a whole.
    """
    data = _said(checkpoint, how)
    captions = data.held_out_captions(samples, how.seed).captions
    drawn = _draw_said(checkpoint, captions, options, how)
    metrics = _against_real(drawn.rows, None, reference)
    if isinstance(data, CaptionedDigits) and reference.judged is not None:
        metrics["captions_true"] = share_true(drawn.rows, captions, reference.judged, data.bounds)
    return _settings(options, how, len(captions)) | metrics, drawn


def draw_labelled(
    checkpoint: DenoiserCheckpoint, data: TrainingSet, options: SamplingConfig, how: SamplingRun, *, samples: int
) -> Generated:
    """Samples of the labels in the training proportions, in their order."""
    classes = len(data.config.labels)
    asked = np.full(samples, NO_LABEL)
    if classes and (how.guidance or checkpoint.config.data.labels):
        asked = labels_in_proportion(np.bincount(data.examples.labels.numpy(), minlength=classes), samples)
    return Generated(
        _samples(checkpoint, labelled(asked, options, how.guidance), options, how), torch.from_numpy(asked)
    )


def draw_prompted(
    checkpoint: DenoiserCheckpoint, data: CaptionedSet, options: SamplingConfig, how: SamplingRun, *, samples: int
) -> tuple[Generated, list[Caption]]:
    """(samples of held-out prompts, those)"""
    prompts = data.held_out_prompts(samples)
    return _draw_said(checkpoint, prompts, options, how), prompts


def draw(
    checkpoint: DenoiserCheckpoint, data: TrainingSet, options: SamplingConfig, how: SamplingRun, *, samples: int
) -> Generated:
    """Samples of whatever it reads."""
    if checkpoint.config.conditioning == "text":
        return draw_prompted(checkpoint, _said(checkpoint, how), options, how, samples=samples)[0]
    return draw_labelled(checkpoint, data, options, how, samples=samples)


def _draw_said(
    checkpoint: DenoiserCheckpoint, said: Sequence[Caption], options: SamplingConfig, how: SamplingRun
) -> Generated:
    encoder = how.guidance.guidance_model.text if how.guidance else checkpoint.text
    text = encoder.embed([encoder.config.vocabulary.read(one.text) for one in said])
    images = _samples(checkpoint, prompted(text, options, how.guidance), options, how)
    return Generated(images, torch.full((len(said),), NO_LABEL))


def _said(checkpoint: DenoiserCheckpoint, how: SamplingRun) -> CaptionedSet:
    """What whoever reads the prompts was trained on."""
    return captioned_as_trained((how.guidance.guidance_model if how.guidance else checkpoint).config)


def _settings(options: SamplingConfig, how: SamplingRun, samples: int) -> Metrics:
    """Beside the figures, among which "precision" is the k-NN measure."""
    return {"samples": samples, "seed": how.seed, **computed(how)} | settings_of(options, how.guidance)


def _samples(
    checkpoint: DenoiserCheckpoint, conditions: Conditions, options: SamplingConfig, how: SamplingRun
) -> Tensor:
    """One for each of the conditions; images in whole bytes."""
    with Progress(transient=True) as progress:
        task = progress.add_task("sampling", total=len(conditions))
        samples = generate(
            checkpoint,
            conditions,
            options,
            guidance_model=how.guidance and how.guidance.guidance_model,
            seed=how.first,
            device=how.device,
            precision=how.precision,
            compile=how.compile,
            advance=lambda rows: progress.advance(task, rows),
        )
    return samples.round().clamp(0, 255) if checkpoint.config.data.kind == "images" else samples


def _against_real(images: Tensor, asked: Tensor | None, reference: ImageReference) -> Metrics:
    """What the judge says of images; where there is none, how far their pixels are from those of real images.

    asked  [n] the labels that they were to have; None where none were asked for
    """
    if reference.judged is None:
        return _pixel_metrics(images, reference.data)
    features, classes = reference.judged.judge.look(images)
    metrics: Metrics = dict(reference.judge_name)
    if asked is not None:
        metrics["label_accuracy"] = rounded((classes == asked).double().mean().item())
    of_each = None if asked is None else (asked, reference.data.held_out.labels)
    found = image_metrics(features, reference.judged.train_features, reference.judged.test_features, of_each)
    if found is None:
        return metrics
    metrics |= {name: rounded(value) for name, value in asdict(found).items()} | {"compared": found.compared}
    return metrics | {"frechet_ratio": rounded(found.frechet_ratio)}


def _pixel_metrics(images: Tensor, data: TrainingSet) -> Metrics:
    """Energy distances between pixels, as the network sees them: of samples from real images, and of those from real
    ones."""
    generator = torch.Generator().manual_seed(0)
    n = min(len(images), len(data.held_out), len(data.examples), PIXEL_ROWS)
    parts = [
        data.config.standardise(rows[torch.randperm(len(rows), generator=generator)[:n]].float()).flatten(1)
        for rows in (images, data.held_out.rows, data.examples.rows)
    ]
    made, real, other = parts
    energy, floor = energy_distance(made, real), energy_distance(other, real)
    return {"compared": n, "energy": rounded(energy), "energy_floor": rounded(floor)}
