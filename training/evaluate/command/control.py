"""Measure a ControlNet beside the denoiser that it steers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from model.checkpoints.config import save_config
from model.checkpoints.control import load_control
from model.checkpoints.denoiser import load_checkpoint
from training.card import card, pictures
from training.data import trained_on
from training.data.drawings import DRAWN_OF
from training.evaluate.command.options import MEASURED, announce, options_of
from training.evaluate.hint_evaluation import HintSet, evaluate_control, of_drawings, of_held_out
from training.evaluate.measurement import Metrics
from training.evaluate.sampling_run import SamplingRun
from training.metrics.image_reference import find_judge, image_reference
from training.recipe import RecipeError

HINTS = 2_000
ALONE = ("sampler", "steps", "variance", "guidance_scale", "agreement", "label_accuracy")


def evaluate_control_card(
    folder: Path,
    checkpoints: Path,
    how: SamplingRun,
    *,
    samples: int | None,
    changed: dict[str, Any],
) -> Metrics:
    """A ControlNet beside the denoiser that it steers: hints with their labels, where that reads any, by its own
    settings, and hints alone, as the ControlNet's card advises. What is in `changed` is of both.

    Raises CheckpointError, and RecipeError where the two do not fit or the settings cannot be.
    """
    control = load_control(folder)
    base = load_checkpoint(checkpoints / control.config.base.name)
    if not control.fits(base):
        raise RecipeError(
            f"{folder.name} was trained beside other weights of {base.config.name} than lie in {checkpoints}: "
            f"train it again"
        )
    own = options_of(base, changed, how.precision)
    ways = [(True, control.config.sampling.applied_to(own).model_copy(update=changed))]
    if base.config.conditioning == "label":
        ways.insert(0, (False, own))
    judge = find_judge(checkpoints, base.config.data)
    reference = image_reference(judge, trained_on(base.config), how.device)

    def measured(shown: HintSet, how: SamplingRun) -> tuple[list[Metrics], list[Tensor]]:
        """By each way (how well they are followed, what was made of them)."""
        scale = control.config.control_scale
        made = (
            evaluate_control(control, base, shown, reference, options, how, scale=scale, alone=alone)
            for alone, options in ways
        )
        found, images = zip(*made, strict=True)
        return list(found), list(images)

    shown = of_held_out(control.hint, reference.data, samples or HINTS, how.seed)
    announce(folder.name, f"{len(shown):,} hints")
    found, made = measured(shown, how)
    metrics, seen = _in_one(found, ALONE), [(shown, made)]
    if base.config.data.dataset == DRAWN_OF and reference.judged is not None:
        shown = of_drawings(control.config)
        found, made = measured(shown, replace(how, compile=False))  # so few that it would not pay
        metrics |= _in_one([{"drawings": of["label_accuracy"]} for of in found], ("drawings",))
        seen.append((shown, made))
    column = MEASURED if how.precision == "float32" else how.precision
    if changed or metrics["samples"] < control.config.metrics.get(column, {}).get("samples", 0):
        return metrics
    config = control.config.model_copy(update={"metrics": control.config.metrics | {column: metrics}})
    save_config(folder, config)
    pictures.save_control_sheet(folder, seen)
    card.write_control_card(folder, config)
    return metrics


def _in_one(found: list[Metrics], of_alone: tuple[str, ...]) -> Metrics:
    """Figures of the first way, and these of the second, if there is one: of hints alone."""
    first, *others = found
    return first | {f"{name}_alone": other[name] for other in others for name in of_alone if name in other}
