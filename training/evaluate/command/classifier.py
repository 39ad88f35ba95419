"""Measure what reads rows: a judge, and what steers by its reading, a classifier or CLIP."""

from pathlib import Path

import torch

from model.checkpoints.clip import ClipCheckpoint
from model.checkpoints.denoiser import save_config
from model.checkpoints.guidance_model import Guide
from model.checkpoints.roles import GUIDES
from training.card import card, pictures
from training.data import trained_on
from training.evaluate.classifier_evaluation import evaluate_classifier, evaluate_clip, evaluate_judge
from training.evaluate.command.options import MEASURED, announce
from training.evaluate.measurement import Figures
from training.evaluate.sampling_run import Drawing
from training.metrics.judge import load_judge

CLASSIFIED = 10_000  # rows shown to a classifier at each noise level


def evaluate_reader(folder: Path, role: str, how: Drawing, *, samples: int | None) -> Figures:
    """Raises CheckpointError."""
    if role == "judge":
        return _evaluate_judge(folder, how.device)
    guide = GUIDES[role](folder)
    measure = evaluate_clip if isinstance(guide, ClipCheckpoint) else evaluate_classifier
    count = samples or CLASSIFIED
    announce(guide.name, f"at most {count:,} held-out rows")
    figures, accuracies = measure(guide, samples=count, seed=how.seed, device=how.device)
    if samples is None:
        pictures.save_accuracy_picture(folder, guide.config, accuracies)
        tell_of(folder, guide, {MEASURED: figures})
    return figures


def _evaluate_judge(folder: Path, device: torch.device) -> Figures:
    judge = load_judge(folder, device)
    announce(judge.config.name, f"{len(trained_on(judge.config).held_out):,} held-out images")
    figures = evaluate_judge(judge)
    config = judge.config.model_copy(update={"metrics": {MEASURED: figures}})
    save_config(folder, config)
    card.write_judge_card(folder, config)
    return figures


def tell_of(folder: Path, guide: Guide, columns: dict[str, Figures]) -> None:
    """Write figures into the config and the card of what steers."""
    config = guide.config.model_copy(update={"metrics": guide.metrics | columns})
    save_config(folder, config)
    card.write_guide_card(folder, config)
