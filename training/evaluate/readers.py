"""Measure what reads: the judge on real images, classifiers and CLIP on noisy rows."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from model.classifier import ClassifierCheckpoint
from model.prediction import diffused
from model.reader import Guide
from training.data import trained_on
from training.data.digits import mnist
from training.evaluate.clip import zero_shot_prompts
from training.evaluate.figures import Figures, rounded
from training.evaluate.judge import Judge

CLASSIFIER_BATCH = 500
CLASSIFIER_LEVELS = np.linspace(0, 1, 21)  # t/T
NAMED_LEVELS = (0.0, 0.1, 0.25, 0.5, 0.75)  # those whose accuracy stands in the card


def evaluate_judge(judge: Judge) -> Figures:
    """Accuracy on the real test images."""
    test = mnist(train=False)
    _, classes = judge.look(test.images)
    return {"samples": len(test), "test_accuracy": rounded((classes == test.labels).double().mean().item())}


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
        rows, labels = trained_on(guide.config).draw(samples, torch.Generator().manual_seed(seed))
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
        figures[f"accuracy at t/T = {level:g}"] = rounded(float(accuracy[np.searchsorted(levels, level)]))
    return figures, timesteps, accuracy


def _scores(guide: Guide, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """(x_t, t) → [rows, classes], the largest for the class that is read."""
    if isinstance(guide, ClassifierCheckpoint):
        return guide.classifier(device).log_probabilities
    clip, prompts = guide.clip(device), zero_shot_prompts(guide).to(device)
    return lambda x_t, t: clip.logits(x_t, t, prompts)
