"""Measure a ControlNet: do samples follow hints of held-out images, and drawings by hand?"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional as F

from model.checkpoints.config import SamplingConfig
from model.checkpoints.control import ControlCheckpoint, ControlConfig
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.conditions import NO_LABEL, HintKind, Known
from model.hints import HINT_EXTRACTORS, given_hint, grey, known_hint
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
    """Hints and the images that they come from.

    sources  [n, C, H, W] in 0 … 255
    labels   [n] int64, of the sources
    hints    [n, 1, H, W] in 0 … 1
    kept     [n, 1, H, W] bool, the pixels of the sources that samples keep; None where they keep none
    """

    sources: Tensor
    labels: Tensor
    hints: Tensor
    kept: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)


def held_out_hints(kind: HintKind, data: TrainingSet, samples: int, seed: int) -> HintSet:
    """The hints of at most `samples` held-out images; `seed` varies the strokes of sketches. What is to be inpainted is
    the left half of each."""
    real = data.held_out.some(samples)
    if kind == "inpainting":
        kept = torch.ones_like(real.rows[:, :1], dtype=torch.bool)
        kept[..., : kept.shape[-1] // 2] = False
        return HintSet(real.rows, real.labels, known_hint(real.rows, kept), kept)
    hints = torch.stack(
        [torch.from_numpy(HINT_EXTRACTORS[kind](image)) for image in grey(real.rows).numpy()]
    ).unsqueeze(1)
    if kind == "sketch":
        hints = rough(hints, torch.Generator().manual_seed(seed))
    return HintSet(real.rows, real.labels, hints)


def drawing_hints(control: ControlConfig) -> HintSet:
    """The drawings by hand, processed as the control image of a request."""
    assert control.hint != "inpainting", "nobody draws what is known"
    _, height, width = control.data.shape
    hands = drawings()
    hints = np.stack(
        [
            given_hint(hand.picture, control.hint, (height, width), framing=control.framing, frame=control.frame)
            for hand in hands
        ]
    )
    papers = torch.from_numpy(np.stack([hand.picture for hand in hands])).unsqueeze(1).float()
    return HintSet(
        255 - F.interpolate(papers, (height, width), mode="area"),
        torch.tensor([hand.digit for hand in hands]),
        torch.from_numpy(hints).unsqueeze(1),
    )


def evaluate_control(
    control: ControlCheckpoint,
    base: DenoiserCheckpoint,
    hint_set: HintSet,
    reference: ImageReference,
    options: SamplingConfig,
    run: SamplingRun,
    *,
    scale: float,
    alone: bool,
) -> tuple[Metrics, Tensor]:
    """(metrics, one sample for each hint [n, C, H, W] in 0 … 255)

    scale  of the ControlNet's contribution
    alone  give the hints without their labels; the options' guidance scale then applies to the hint
    """
    labels = torch.full_like(hint_set.labels, NO_LABEL) if alone else hint_set.labels
    conditions = labelled(labels.numpy(), options).with_hints(hint_set.hints, control.hint, scale)
    if hint_set.kept is not None:
        x0 = base.config.data.standardise(hint_set.sources)
        conditions = replace(conditions, known=Known(x0, hint_set.kept.expand_as(x0).float()))
    with Progress(transient=True) as progress:
        task = progress.add_task("sampling", total=len(hint_set))
        images = generate(
            base,
            conditions,
            options,
            control=control,
            seed=run.first_seed,
            device=run.device,
            precision=run.precision,
            compile=run.compile,
            advance=lambda rows: progress.advance(task, rows),
        )
    images = images.round().clamp(0, 255)
    metrics: dict[str, float] = {}
    if control.hint != "inpainting":
        others = hint_set.hints[another_of_the_class(hint_set.labels.numpy())]
        metrics = {
            "agreement": agreement(images, hint_set.hints, control.hint),
            "agreement_ceiling": agreement(hint_set.sources, hint_set.hints, control.hint),
            "agreement_floor": agreement(images, others, control.hint),
        }
    if reference.judged is not None:
        _, classes = reference.judged.judge.look(images)
        metrics["label_accuracy"] = (classes == hint_set.labels).double().mean().item()
    settings: Metrics = {"samples": len(hint_set), "seed": run.seed, **computed(run), "base": base.config.name}
    return {
        **settings,
        **settings_of(options, None),
        "control_scale": scale,
        **reference.judged_by,
        **{name: rounded(value) for name, value in metrics.items()},
    }, images
