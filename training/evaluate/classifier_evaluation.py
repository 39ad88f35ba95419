"""Measure classification: the judge on real images, classifiers and CLIP on noisy rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoints.classifier import ClassifierCheckpoint
from model.checkpoints.clip import ClipCheckpoint
from model.checkpoints.judge import Judge
from model.data import DataConfig
from model.noise_schedule import NoiseSchedule
from model.prediction import diffused
from training.data import captioned_as_trained, trained_on
from training.data.training_set import Examples, as_floats
from training.evaluate.measurement import Metrics, rounded
from training.metrics.clip_retrieval import retrieval, zero_shot_prompts

CLASSIFIER_BATCH = 500
CLASSIFIER_LEVELS = np.linspace(0, 1, 21)  # t/T
NAMED_LEVELS = (0.0, 0.1, 0.25, 0.5, 0.75)  # t/T whose accuracy the card lists


@dataclass(frozen=True, eq=False)
class Accuracies:
    """Accuracy by noise level.

    t         [levels] int64
    accuracy  [levels] float64, shares of rows that are classified correctly
    named     the accuracies that the card lists
    """

    t: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    named: Metrics


def evaluate_judge(judge: Judge, *, samples: int | None = None) -> Metrics:
    """Accuracy on the held-out images, or on at most `samples` of them."""
    held_out = trained_on(judge.config).held_out
    test = held_out if samples is None else held_out.some(samples)
    _, classes = judge.look(test.rows)
    return {"samples": len(test), "test_accuracy": rounded((classes == test.labels).double().mean().item())}


def evaluate_classifier(
    checkpoint: ClassifierCheckpoint, *, samples: int, seed: int, device: torch.device
) -> tuple[Metrics, Accuracies]:
    """Accuracy on at most `samples` noisy held-out rows."""
    rows = trained_on(checkpoint.config).held_out.some(samples)
    scores = checkpoint.classifier(device).log_probabilities
    found = _accuracies(checkpoint.data, checkpoint.schedule, rows, scores, seed=seed, device=device)
    metrics: Metrics = {"samples": len(rows), "seed": seed}
    return metrics | found.named, found


def evaluate_clip(
    checkpoint: ClipCheckpoint, *, samples: int, seed: int, device: torch.device
) -> tuple[Metrics, Accuracies | None]:
    """(retrieval and zero-shot accuracy, the accuracy by noise level); None if the labels have no prompts.

    Zero-shot accuracy classifies at most `samples` noisy held-out rows by the most similar of the labels' prompts.
    """
    data, clip = captioned_as_trained(checkpoint.config), checkpoint.clip(device)
    prompts = zero_shot_prompts(checkpoint, data)
    metrics: Metrics = {"seed": seed}
    found = None
    if prompts is not None:
        rows, text = data.held_out.some(samples), prompts.to(device)

        def scores(x_t: Tensor, t: Tensor) -> Tensor:
            return clip.logits(x_t, t, text)

        found = _accuracies(checkpoint.data, checkpoint.schedule, rows, scores, seed=seed, device=device)
        metrics |= {"samples": len(rows)} | found.named
    return metrics | retrieval(clip, checkpoint, data, seed=seed), found


def _accuracies(
    data: DataConfig,
    schedule: NoiseSchedule,
    examples: Examples,
    scores: Callable[[Tensor, Tensor], Tensor],
    *,
    seed: int,
    device: torch.device,
) -> Accuracies:
    """scores  (x_t [rows, …], t [rows]) → [rows, classes]; the largest score is the predicted class"""
    rows, labels = as_floats(examples.rows), examples.labels
    generator = torch.Generator().manual_seed(seed + 1)
    levels = np.union1d(CLASSIFIER_LEVELS, NAMED_LEVELS)
    timesteps = np.rint(levels * schedule.T).astype(np.int64)
    accuracy = np.zeros(len(levels))
    for level, t in enumerate(timesteps.tolist()):
        correct = 0
        batches = zip(torch.split(rows, CLASSIFIER_BATCH), torch.split(labels, CLASSIFIER_BATCH), strict=True)
        for batch, wanted in batches:
            noise = torch.randn(batch.shape, generator=generator)
            x_t = diffused(data.standardise(batch), noise, torch.full((len(batch),), float(schedule.alpha_bar[t])))
            with torch.inference_mode():
                score = scores(x_t.to(device), torch.full((len(batch),), t, device=device))
            correct += int((score.argmax(1).cpu() == wanted).sum())
        accuracy[level] = correct / len(rows)
    named: Metrics = {
        f"accuracy at t/T = {level:g}": rounded(float(accuracy[np.searchsorted(levels, level)]))
        for level in NAMED_LEVELS
    }
    return Accuracies(timesteps, accuracy, named)
