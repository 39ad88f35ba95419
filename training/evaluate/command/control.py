"""Measure a ControlNet beside the denoiser that it steers."""

from pathlib import Path
from typing import Any

import torch

from model.checkpoint import Precision, load_checkpoint, save_config
from model.control import load_control
from training.data import trained_on
from training.data.drawings import DRAWN_OF
from training.evaluate import card, pictures
from training.evaluate.command.asked import HEADLINE, announce, options_of
from training.evaluate.controls import evaluate_control, of_drawings, of_held_out
from training.evaluate.figures import Figures
from training.evaluate.reference import image_reference
from training.recipe import RecipeError

HINTS = 2_000


def evaluate_beside(
    folder: Path,
    checkpoints: Path,
    device: torch.device,
    *,
    samples: int | None,
    changed: dict[str, Any],
    precision: Precision,
    seed: int,
    compile: bool,
) -> Figures:
    """A ControlNet, beside the denoiser that it steers, at the latter's own settings: hints with their labels, and
    alone, guided as the ControlNet's card advises; a guidance scale in `changed` is of both."""
    control = load_control(folder)
    base = load_checkpoint(checkpoints / control.config.base.name)
    if not control.fits(base):
        raise RecipeError(
            f"{folder.name} was trained beside other weights of {base.config.name} than lie in {checkpoints}: "
            f"train it again"
        )
    options = options_of(base, changed, precision)
    options_alone = options if "guidance_scale" in changed else control.config.alone(options)
    reference = image_reference(checkpoints, trained_on(base.config), device)
    shown = of_held_out(control.hint, reference.data, samples or HINTS, seed)
    announce(folder.name, f"{len(shown):,} hints")
    parts = {"": shown}
    if base.config.data.dataset == DRAWN_OF:
        parts["drawings"] = of_drawings(control.config)
    figures, seen = {}, []
    for part, of in parts.items():
        by_way, made = [], []
        for alone, at in ((False, options), (True, options_alone)):
            found, images = evaluate_control(
                control, base, of, reference, at, scale=control.config.control_scale, alone=alone, seed=seed,
                precision=precision, device=device, compile=compile,
            )  # fmt: skip
            by_way.append(found)
            made.append(images)
        figures |= _of_drawings(*by_way) if part else _of_hints(*by_way)
        seen.append((of, made))
    column = HEADLINE if precision == "float32" else precision
    if changed or figures["samples"] < control.config.metrics.get(column, {}).get("samples", 0):
        return figures
    config = control.config.model_copy(update={"metrics": control.config.metrics | {column: figures}})
    save_config(folder, config)
    pictures.save_control_sheet(folder, seen)
    card.write_control_card(folder, config)
    return figures


def _of_hints(labelled: Figures, alone: Figures) -> Figures:
    told = {"guidance_scale", "agreement", "label_accuracy"} & alone.keys()
    return labelled | {f"{name}_alone": alone[name] for name in alone if name in told}


def _of_drawings(labelled: Figures, alone: Figures) -> Figures:
    """Nothing where there is no judge who reads them."""
    both = {"drawings": labelled.get("label_accuracy"), "drawings_alone": alone.get("label_accuracy")}
    return {name: share for name, share in both.items() if share is not None}
