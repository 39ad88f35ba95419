"""Measure checkpoints that classify: a judge, a classifier of noisy rows, CLIP."""

from pathlib import Path

import torch

from model.checkpoints.classifier import ClassifierCheckpoint, load_classifier
from model.checkpoints.clip import ClipCheckpoint, load_clip
from model.checkpoints.config import MEASURED, read_role
from model.checkpoints.judge import load_judge
from training.card import card, pictures
from training.data import trained_on
from training.evaluate.classifier_evaluation import Accuracies, evaluate_classifier, evaluate_clip, evaluate_judge
from training.evaluate.command.card_update import CardUpdate
from training.evaluate.command.options import announce
from training.evaluate.measurement import Metrics
from training.evaluate.sampling_run import SamplingRun
from training.recipe import RecipeError

CLASSIFIED = 10_000  # rows that are classified at each noise level


def evaluate_classifier_card(folder: Path, role: str, run: SamplingRun, *, samples: int | None) -> Metrics:
    """Measure a judge, a classifier or CLIP; except with `samples`, also write its config and card.

    Raises CheckpointError, and DataError if its data are missing.
    """
    if role == "judge":
        return _evaluate_judge(folder, run.device, samples)
    checkpoint, count = load_guidance_model(folder), samples or CLASSIFIED
    update = CardUpdate(folder, checkpoint.config)
    announce(checkpoint.name, f"at most {count:,} held-out rows")
    accuracies: Accuracies | None
    if isinstance(checkpoint, ClipCheckpoint):
        metrics, accuracies = evaluate_clip(checkpoint, samples=count, seed=run.seed, device=run.device)
    else:
        metrics, accuracies = evaluate_classifier(checkpoint, samples=count, seed=run.seed, device=run.device)
    if samples is None:
        config = update.write({MEASURED: metrics})
        pictures.save_accuracy_picture(folder, config, accuracies)
        card.write_guidance_card(folder, update.now())
    return metrics


def load_guidance_model(folder: Path) -> ClassifierCheckpoint | ClipCheckpoint:
    """Raises CheckpointError, and RecipeError if the checkpoint is neither a classifier nor a CLIP."""
    role = read_role(folder)
    if role == "classifier":
        return load_classifier(folder)
    if role == "clip":
        return load_clip(folder)
    raise RecipeError(f"{folder.name} is no guidance model: neither a classifier nor a CLIP")


def _evaluate_judge(folder: Path, device: torch.device, samples: int | None) -> Metrics:
    judge = load_judge(folder, device)
    update = CardUpdate(folder, judge.config)
    count = len(trained_on(judge.config).held_out)
    announce(judge.config.name, f"{count if samples is None else min(samples, count):,} held-out images")
    metrics = evaluate_judge(judge, samples=samples)
    if samples is None:
        update.write({MEASURED: metrics})
        card.write_judge_card(folder, update.now())
    return metrics
