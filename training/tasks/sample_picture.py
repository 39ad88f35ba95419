"""The picture of a training run: samples of every class, or prompt, as the weights are now."""

from pathlib import Path

import numpy as np
import torch

from model.checkpoints.autoguidance import AutoguidanceCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import NO_LABEL
from training.generate import Guidance, generate, labelled, prompted, spread
from training.pictures import save_picture

ROWS = {"images": 8, "points": 500}  # samples of each class …
CLASSES = 20  # … and of so many classes at most, spread over all of them


def save_sample_picture(
    path: Path,
    checkpoint: DenoiserCheckpoint,
    device: torch.device,
    weak: AutoguidanceCheckpoint | None = None,
) -> None:
    """Side by side, of the same seeds each time, by the sampler and scale that the checkpoint's card advises; with
    `weak`, by those of `weak`. The prompts are the examples of the vocabulary."""
    config = checkpoint.config
    options = config.sampling if weak is None else weak.overrides.applied_to(config.sampling)
    guidance = None if weak is None else Guidance(weak, options.guidance_scale)
    columns = ROWS[config.data.kind]
    if checkpoint.text is None:
        classes = len(config.data.labels)
        labels = np.repeat(spread(classes, CLASSES) if classes else [NO_LABEL], columns)
        conditions = labelled(labels, options, guidance)
    else:
        vocabulary = checkpoint.text.config.vocabulary
        text = checkpoint.text.embed([vocabulary.read(example) for example in vocabulary.examples])
        labels = np.repeat(np.arange(len(text)), columns)
        conditions = prompted(text.repeat_interleave(columns, dim=0), options, guidance)
    rows = generate(checkpoint, conditions, options, guidance_model=weak, device=device)
    save_picture(path, config.data, rows, labels)
