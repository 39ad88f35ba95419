"""Measure what reads rows: a judge, and what steers by its reading, a classifier or CLIP."""

from pathlib import Path

import torch

from model.checkpoints.clip import ClipCheckpoint
from model.checkpoints.config import save_config
from model.checkpoints.guidance_model import GuidanceModel
from model.checkpoints.roles import GUIDANCE_MODEL_LOADERS
from training.card import card, pictures
from training.data import trained_on
from training.evaluate.classifier_evaluation import evaluate_classifier, evaluate_clip, evaluate_judge
from training.evaluate.command.options import MEASURED, announce
from training.evaluate.measurement import Metrics
from training.evaluate.sampling_run import SamplingRun
from training.metrics.judge import load_judge

CLASSIFIED = 10_000  # rows shown to a classifier at each noise level


def evaluate_reader(folder: Path, role: str, how: SamplingRun, *, samples: int | None) -> Metrics:
    """Raises CheckpointError."""
    if role == "judge":
        return _evaluate_judge(folder, how.device)
    guidance_model = GUIDANCE_MODEL_LOADERS[role](folder)
    measure = evaluate_clip if isinstance(guidance_model, ClipCheckpoint) else evaluate_classifier
    count = samples or CLASSIFIED
    announce(guidance_model.name, f"at most {count:,} held-out rows")
    metrics, accuracies = measure(guidance_model, samples=count, seed=how.seed, device=how.device)
    if samples is None:
        pictures.save_accuracy_picture(folder, guidance_model.config, accuracies)
        write_metrics(folder, guidance_model, {MEASURED: metrics})
    return metrics


def _evaluate_judge(folder: Path, device: torch.device) -> Metrics:
    judge = load_judge(folder, device)
    announce(judge.config.name, f"{len(trained_on(judge.config).held_out):,} held-out images")
    metrics = evaluate_judge(judge)
    config = judge.config.model_copy(update={"metrics": {MEASURED: metrics}})
    save_config(folder, config)
    card.write_judge_card(folder, config)
    return metrics


def write_metrics(folder: Path, guidance_model: GuidanceModel, columns: dict[str, Metrics]) -> None:
    """Write figures into the config and the card of what steers."""
    config = guidance_model.config.model_copy(update={"metrics": guidance_model.metrics | columns})
    save_config(folder, config)
    card.write_guide_card(folder, config)
