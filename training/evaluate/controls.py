"""Measure a ControlNet: hints of held-out images and drawings by hand, and what is made of them."""

from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F

from model.checkpoint import Checkpoint, Precision, SamplingConfig
from model.conditions import NO_LABEL
from model.control import ControlCheckpoint
from model.hints import OF_IMAGE, given_hint, grey
from training.data.drawings import drawings
from training.data.hinted import rough
from training.evaluate.agreement import agreement, another_of_the_class
from training.evaluate.figures import Figures, computed, rounded, settings_of
from training.evaluate.reference import ImageReference, Judged
from training.generate import followed, generate, labelled


@dataclass(frozen=True, eq=False)
class Followed:
    """Hints [n, 1, H, W] in 0 … 1, and what was made of them: images [n, C, H, W] in 0 … 255."""

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
    compile: bool = False,
) -> tuple[Figures, Followed]:
    """(how well hints of held-out images are followed, with their label and with none, what came of it)

    samples  hints; fewer where fewer images are held out
    """
    real = reference.data.held_out.some(samples)
    samples, sources, labels = len(real), real.rows, real.labels
    hints = torch.stack([torch.from_numpy(OF_IMAGE[control.hint](image)) for image in grey(sources).numpy()])
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
                compile=compile,
                advance=lambda rows: progress.advance(task, rows),
            )
            made[way] = images.round().clamp(0, 255)
    others = hints[another_of_the_class(labels.numpy())]
    figures = {
        "agreement": agreement(made["labelled"], hints, control.hint),
        "agreement_alone": agreement(made["alone"], hints, control.hint),
        "agreement_ceiling": agreement(sources, hints, control.hint),
        "agreement_floor": agreement(made["labelled"], others, control.hint),
    }
    for name, way in (("label_accuracy", "labelled"), ("label_accuracy_alone", "alone")):
        if reference.judged is not None:
            figures[name] = _read_right(made[way], labels, reference.judged)
    settings = {"samples": samples, "seed": seed, **computed(precision, compile), "base": base.config.name}
    return {
        **settings,
        **settings_of(options, None),
        "control_scale": scale,
        **reference.judge_name,
        **{name: rounded(value) for name, value in figures.items()},
    }, Followed(sources, hints, **made)


def evaluate_drawings(
    control: ControlCheckpoint,
    base: Checkpoint,
    judged: Judged,
    options: SamplingConfig,
    *,
    scale: float,
    seed: int,
    precision: Precision,
    device: torch.device,
) -> tuple[Figures, Followed]:
    """The same of digits drawn by hand, through what a request's picture goes through."""
    drawn = drawings()
    labels = torch.tensor([one.digit for one in drawn])
    _, *size = base.config.data.shape
    config = control.config
    framing = {"framing": config.framing, "frame": config.frame}
    hints = np.stack([given_hint(one.picture, control.hint, tuple(size), **framing) for one in drawn])
    hints = torch.from_numpy(hints).unsqueeze(1)
    made = []
    for asked in (labels, torch.full_like(labels, NO_LABEL)):
        conditions = followed(labelled(asked.numpy(), options), hints, control.hint, scale)
        images = generate(base, conditions, options, control=control, seed=seed, device=device, precision=precision)
        made.append(images.round().clamp(0, 255))
    right = [_read_right(images, labels, judged) for images in made]
    sources = torch.from_numpy(np.stack([one.picture for one in drawn])).unsqueeze(1).float()
    figures = {"drawings": rounded(right[0]), "drawings_alone": rounded(right[1])}
    return figures, Followed(255 - F.interpolate(sources, size, mode="area"), hints, *made)


def _read_right(images: Tensor, labels: Tensor, judged: Judged) -> float:
    _, classes = judged.judge.look(images)
    return (classes == labels).double().mean().item()
