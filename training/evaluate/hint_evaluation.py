"""Measure a ControlNet: hints of held-out images and drawings by hand, and what is made of them."""

from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F

from model.checkpoints.config import SamplingConfig
from model.checkpoints.control import ControlCheckpoint, ControlConfig
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import NO_LABEL, HintKind
from model.hints import HINT_EXTRACTORS, given_hint, grey
from training.data.drawings import drawings
from training.data.hinted_images import rough
from training.data.training_set import TrainingSet
from training.evaluate.measurement import Metrics, computed, rounded, settings_of
from training.evaluate.sampling_run import SamplingRun
from training.generate import generate, labelled
from training.metrics.hint_agreement import agreement, another_of_the_class
from training.metrics.image_reference import ImageReference


@dataclass(frozen=True, eq=False)
class HintSet:
    """Hints [n, 1, H, W] in 0 … 1, the images [n, C, H, W] in 0 … 255 that they are of, and these' labels [n]."""

    sources: Tensor
    labels: Tensor
    hints: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def of_held_out(kind: HintKind, data: TrainingSet, samples: int, seed: int) -> HintSet:
    """Hints of so many held-out images, or of as many as there are."""
    real = data.held_out.some(samples)
    hints = torch.stack(
        [torch.from_numpy(HINT_EXTRACTORS[kind](image)) for image in grey(real.rows).numpy()]
    ).unsqueeze(1)
    if kind == "sketch":
        hints = rough(hints, torch.Generator().manual_seed(seed))
    return HintSet(real.rows, real.labels, hints)


def of_drawings(control: ControlConfig) -> HintSet:
    """Digits drawn by hand, through what a request's picture goes through."""
    drawn, (_, *size) = drawings(), control.data.shape
    framing = {"framing": control.framing, "frame": control.frame}
    hints = np.stack([given_hint(one.picture, control.hint, tuple(size), **framing) for one in drawn])
    papers = torch.from_numpy(np.stack([one.picture for one in drawn])).unsqueeze(1).float()
    return HintSet(
        255 - F.interpolate(papers, size, mode="area"),
        torch.tensor([one.digit for one in drawn]),
        torch.from_numpy(hints).unsqueeze(1),
    )


def evaluate_control(
    control: ControlCheckpoint,
    base: DenoiserCheckpoint,
    shown: HintSet,
    reference: ImageReference,
    options: SamplingConfig,
    how: SamplingRun,
    *,
    scale: float,
    alone: bool,
) -> tuple[Metrics, Tensor]:
    """(how well the hints are followed, what was made of them [n, C, H, W] in 0 … 255)

    scale  of what the ControlNet adds
    alone  without their labels: the options' guidance scale is of the hint then
    """
    labels = torch.full_like(shown.labels, NO_LABEL) if alone else shown.labels
    with Progress(transient=True) as progress:
        task = progress.add_task("sampling", total=len(shown))
        made = generate(
            base,
            labelled(labels.numpy(), options).with_hints(shown.hints, control.hint, scale),
            options,
            control=control,
            seed=how.first,
            device=how.device,
            precision=how.precision,
            compile=how.compile,
            advance=lambda rows: progress.advance(task, rows),
        )
    made = made.round().clamp(0, 255)
    others = shown.hints[another_of_the_class(shown.labels.numpy())]
    metrics = {
        "agreement": agreement(made, shown.hints, control.hint),
        "agreement_ceiling": agreement(shown.sources, shown.hints, control.hint),
        "agreement_floor": agreement(made, others, control.hint),
    }
    if reference.judged is not None:
        _, classes = reference.judged.judge.look(made)
        metrics["label_accuracy"] = (classes == shown.labels).double().mean().item()
    settings = {"samples": len(shown), "seed": how.seed, **computed(how), "base": base.config.name}
    return {
        **settings,
        **settings_of(options, None),
        "control_scale": scale,
        **reference.judge_name,
        **{name: rounded(value) for name, value in metrics.items()},
    }, made
