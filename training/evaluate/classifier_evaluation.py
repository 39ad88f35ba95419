"""Measure what reads: the judge on real images, classifiers and CLIP on noisy rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.checkpoints.classifier import ClassifierCheckpoint
from model.checkpoints.clip import ClipCheckpoint
from model.checkpoints.guidance_model import GuidanceModel
from model.prediction import diffused
from training.data import captioned_as_trained, trained_on
from training.data.training_set import Examples
from training.evaluate.measurement import Metrics, rounded
from training.metrics.clip_retrieval import retrieval, zero_shot_prompts
from training.metrics.judge import Judge

CLASSIFIER_BATCH = 500
CLASSIFIER_LEVELS = np.linspace(0, 1, 21)  # t/T
NAMED_LEVELS = (0.0, 0.1, 0.25, 0.5, 0.75)  # those whose accuracy stands in the card


@dataclass(frozen=True, eq=False)
class Accuracies:
    """t [levels] int64, and the share that is read right there, [levels]; those that stand in the card, named."""

    t: np.ndarray
    accuracy: np.ndarray
    named: Metrics


def evaluate_judge(judge: Judge) -> Metrics:
    """Accuracy on the real images that are held out."""
    test = trained_on(judge.config).held_out
    _, classes = judge.look(test.rows)
    return {"samples": len(test), "test_accuracy": rounded((classes == test.labels).double().mean().item())}


def evaluate_classifier(
    guidance_model: ClassifierCheckpoint, *, samples: int, seed: int, device: torch.device
) -> tuple[Metrics, Accuracies]:
    """What is read right of noisy rows that were not trained on."""
    rows = trained_on(guidance_model.config).held_out.some(samples)
    scores = guidance_model.classifier(device).log_probabilities
    found = _accuracies(guidance_model, rows, scores, seed=seed, device=device)
    return {"samples": len(rows), "seed": seed} | found.named, found


def evaluate_clip(
    guidance_model: ClipCheckpoint, *, samples: int, seed: int, device: torch.device
) -> tuple[Metrics, Accuracies | None]:
    """(retrieval both ways; and which of the labels' prompts goes best with noisy rows that were not trained on, None
    where there are no prompts for them)"""
    data, clip = captioned_as_trained(guidance_model.config), guidance_model.clip(device)
    prompts = zero_shot_prompts(guidance_model, data)
    metrics: Metrics = {"seed": seed}
    found = None
    if prompts is not None:
        rows, prompts = data.held_out.some(samples), prompts.to(device)
        found = _accuracies(guidance_model, rows, lambda x_t, t: clip.logits(x_t, t, prompts), seed=seed, device=device)
        metrics |= {"samples": len(rows)} | found.named
    return metrics | retrieval(clip, guidance_model, data, seed=seed), found


def _accuracies(
    guidance_model: GuidanceModel,
    examples: Examples,
    scores: Callable[[Tensor, Tensor], Tensor],
    *,
    seed: int,
    device: torch.device,
) -> Accuracies:
    """scores: (x_t, t) → [rows, classes], the largest for the class that is read."""
    data, schedule, rows, labels = guidance_model.data, guidance_model.schedule, examples.rows.float(), examples.labels
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
    named: Metrics = {
        f"accuracy at t/T = {level:g}": rounded(float(accuracy[np.searchsorted(levels, level)]))
        for level in NAMED_LEVELS
    }
    return Accuracies(timesteps, accuracy, named)
