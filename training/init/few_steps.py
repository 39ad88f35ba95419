"""Propose the few-step student of a denoiser that has been trained."""

from pathlib import Path

from model.checkpoints.config import load_config
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.weights import CheckpointError
from model.precision import has_bfloat16
from training.init.choices import Choice, Choices, Draft, Section
from training.init.optimisation import training_length
from training.init.roles import SUFFIXES, DataSummary, Role
from training.recipe import FlowMapSection, RecipeError
from training.tasks.flow_map import check_teacher
from training.tasks.registry import find_checkpoint

RUNS = {"images": 6000, "points": 20_000}  # of the teacher, that are stored
WIDEST = 2.0  # guidance scale that a student learns at least
STEPS = {"images": 3000, "points": 8000}
BATCH = {"images": 64, "points": 512}
RATE = {"images": 2e-4, "points": 1e-3}  # small: the student starts as its teacher


def teacher_config(name: str, checkpoints: Path, dataset: str) -> DenoiserConfig:
    """The base denoiser's config. Raises RecipeError, with the remedy, if it is missing or cannot be distilled."""
    role, folder = f"--role {Role.FAST}", find_checkpoint(name, checkpoints)
    if not folder.is_dir():
        other = f"{name}-{SUFFIXES[Role.UNCONDITIONAL]}"
        there = f"; {other} is there: --base {other}" if (checkpoints / other).is_dir() else ""
        raise RecipeError(
            f"{role}: there is no model {name} to distil: `train {name}` first, then init again; or name another: "
            f"--base NAME{there}"
        )
    try:
        config = load_config(folder, DenoiserConfig)
        check_teacher(config, FlowMapSection().teacher_steps)
    except (CheckpointError, ValueError) as error:
        raise RecipeError(f"{role}: --base: {error}") from error
    if config.data.dataset != dataset:
        raise RecipeError(
            f"{role}: --base {name} draws {config.data.dataset}, not {dataset}: --name is the base's data"
        )
    return config


def few_step_recipe(head: Choices, summary: DataSummary, teacher: DenoiserConfig) -> Draft:
    """The recipe of the student."""
    kind, guided = teacher.data.kind, teacher.conditioning is not None
    runs, scale = RUNS[kind], teacher.sampling.guidance_scale if guided else 1.0
    distillation: Choices = {
        "guidance_range": Choice(
            [1.0, max(WIDEST, scale)] if guided else [1.0, 1.0],
            "the scales that may be asked for" if guided else f"{teacher.name} has no labels, so nothing guides it",
        )
    }
    if guided and teacher.sampling.guidance_interval is not None:
        interval = list(teacher.sampling.guidance_interval)
        distillation["guidance_interval"] = Choice(interval, f"as the card of {teacher.name} advises")
    distillation["trajectories"] = Choice(runs, "runs of the teacher, which are kept in the cache")
    if summary.images and has_bfloat16(summary.device):
        distillation["precision"] = Choice("bfloat16", "in which the teacher runs")
    return Draft(
        head | {"teacher": Choice(teacher.name, "the base denoiser: train it before, and this again after it")},
        {
            "distillation": Section(distillation),
            "optimisation": Section(
                training_length(STEPS[kind], BATCH[kind], runs, "runs")
                | {
                    "batch_size": Choice(BATCH[kind]),
                    "learning_rate": Choice(RATE[kind], "small: the student starts as its teacher"),
                    "final_learning_rate": Choice(0.05),
                    "beta2": Choice(0.99),
                    "gradient_clip": Choice(10.0),
                }
            ),
            "sampling": Section(
                {
                    "sampler": Choice("ddim"),
                    "steps": Choice(2, "or 1, or 4"),
                    "guidance_scale": Choice(scale, f"as the card of {teacher.name} advises" if guided else ""),
                }
            ),
        },
    )
