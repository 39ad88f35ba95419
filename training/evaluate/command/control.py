"""Measure a ControlNet together with its base denoiser."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from model.checkpoints.config import MEASURED, SamplingConfig
from model.checkpoints.control import ControlConfig, load_control
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.distilled import STEPS
from model.checkpoints.few_step_quality import in_steps
from model.checkpoints.judge import find_judge
from model.conditions import CONTROL_KINDS
from training.card import card, pictures
from training.data import trained_on
from training.data.drawings import DRAWN_DATASET
from training.evaluate.command.card_update import CardUpdate
from training.evaluate.command.options import ChangedSettings, announce, options_of
from training.evaluate.command.teacher_column import teacher_column
from training.evaluate.hint_evaluation import HintSet, drawing_hints, evaluate_control, held_out_hints
from training.evaluate.measurement import Metrics
from training.evaluate.sampling_run import SamplingRun
from training.metrics.image_reference import image_reference
from training.recipe import RecipeError

HINTS = 2_000  # of held-out images, at most
ALONE = (
    "sampler",
    "steps",
    "variance",
    "guidance_scale",
    "agreement",
    "label_accuracy",
)  # metrics that hints alone get too


class Setup(NamedTuple):
    """How hints are given: alone or with their labels, at which settings."""

    alone: bool
    options: SamplingConfig

    def of(self, steps: int) -> "Setup":
        """The same in another number of steps."""
        return self._replace(options=self.options.model_copy(update={"steps": steps}))


def evaluate_control_card(
    folder: Path,
    checkpoints: Path,
    run: SamplingRun,
    *,
    samples: int | None,
    changed: ChangedSettings,
) -> Metrics:
    """Measure a ControlNet: hints with their labels if the base has any, and hints alone.

    Hints with labels take the base's settings, hints alone the ControlNet's overrides of these; `changed` applies to
    both.

    Raises CheckpointError, and RecipeError if the base does not fit or the settings are impossible.
    """
    control = load_control(folder)
    update = CardUpdate(folder, control.config)
    base = load_checkpoint(checkpoints / control.config.base.name)
    if not control.fits(base):
        raise RecipeError(
            f"{folder.name} was trained beside other weights of {base.config.name} than lie in {checkpoints}: "
            f"train it again"
        )
    own = options_of(base, changed, run.precision)
    alone = Setup(True, control.config.sampling.applied_to(own).model_copy(update={**changed}))
    setups = [Setup(False, own), alone] if base.config.conditioning == "label" else [alone]
    judge = find_judge(checkpoints, base.config.data)
    reference = image_reference(judge, trained_on(base.config), run.device)

    def measure(hint_set: HintSet, run: SamplingRun, setups: Sequence[Setup]) -> tuple[list[Metrics], list[Tensor]]:
        """(metrics, samples) by each of the setups."""
        scale, metrics, samples = control.config.control_scale, [], []
        for setup in setups:
            found, images = evaluate_control(
                control, base, hint_set, reference, setup.options, run, scale=scale, alone=setup.alone
            )
            metrics.append(found)
            samples.append(images)
        return metrics, samples

    held_out = held_out_hints(control.hint, reference.data, samples or HINTS, run.seed)
    announce(folder.name, f"{len(held_out):,} hints")
    found, images = measure(held_out, run, setups)
    metrics, sheet = _in_one(found, ALONE), [(held_out, images)]
    drawn = base.config.data.dataset == DRAWN_DATASET and control.hint in CONTROL_KINDS
    if drawn and reference.judged is not None:
        by_hand = drawing_hints(control.config)
        few = replace(run, compile=False)  # compilation takes longer than so few samples
        found, images = measure(by_hand, few, setups)
        metrics |= _in_one([{"drawings": setup["label_accuracy"]} for setup in found], ("drawings",))
        sheet.append((by_hand, images))
    column = MEASURED if run.precision == "float32" else run.precision
    if changed or update.has_more(column, metrics):
        return metrics
    columns = {column: metrics}
    if control.config.jumps and column == MEASURED:
        for steps in sorted(set(STEPS) - {own.steps}):
            announce(folder.name, f"{len(held_out):,} hints {in_steps(steps)}")
            found, _ = measure(held_out, run, [setup.of(steps) for setup in setups])
            columns[in_steps(steps)] = _in_one(found, ALONE)
        columns |= teacher_column(control.config.recipe["teacher"], ControlConfig, checkpoints)
    update.write(columns)
    if column == MEASURED:
        pictures.save_control_sheet(folder, sheet)
    card.write_control_card(folder, update.now())
    return metrics


def _in_one(found: list[Metrics], names: tuple[str, ...]) -> Metrics:
    """The metrics of the first setup, and of hints alone, if that is a second setup, those with these names."""
    first, *others = found
    return first | {f"{name}_alone": other[name] for other in others for name in names if name in other}
