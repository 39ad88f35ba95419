"""Propose the few-step student of a denoiser that has been trained."""

from pathlib import Path

from model.checkpoints.config import load_config
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.weights import CheckpointError
from training.flow_map_section import FlowMapSection
from training.init.choices import Choice, Choices, Draft, Section
from training.init.optimisation import training_length
from training.init.roles import SUFFIXES, DataSummary, Role
from training.recipe import RecipeError
from training.tasks.flow_map import check_teacher
from training.tasks.registry import find_checkpoint

RUNS = {"images": 6000, "points": 20_000}  # of the teacher, that are stored
WIDEST = 2.0  # guidance scale that a student learns at least
STEPS = {"images": 3000, "points": 8000}
BATCH = {"images": 64, "points": 512}
RATE = {"images": 2e-4, "points": 1e-3}  # small: the student starts as its teacher


def teacher_config(role: Role, name: str, checkpoints: Path, dataset: str) -> DenoiserConfig:
    """The base denoiser's config. Raises RecipeError, with the remedy, if it is missing or cannot be distilled."""
    folder = find_checkpoint(name, checkpoints)
    if not folder.is_dir():
        other = f"{name}-{SUFFIXES[Role.UNCONDITIONAL]}"
        there = f"; {other} is there: --base {other}" if (checkpoints / other).is_dir() else ""
        raise RecipeError(
            f"--role {role}: there is no model {name} to distil: `train {name}` first, then init again; or name "
            f"another: --base NAME{there}"
        )
    try:
        config = load_config(folder, DenoiserConfig)
        check_teacher(config, FlowMapSection().teacher_steps)
    except (CheckpointError, ValueError) as error:
        raise RecipeError(f"--role {role}: --base: {error}") from error
    if role != Role.FAST and (config.conditioning == "text" or config.cluster_shares):
        what = "prompts" if config.conditioning == "text" else "clusters"
        raise RecipeError(
            f"--role {role}: --base {name} reads {what}: a ControlNet is for one that reads labels, or nothing"
        )
    if config.data.dataset != dataset:
        raise RecipeError(
            f"--role {role}: --base {name} draws {config.data.dataset}, not {dataset}: --name is the base's data"
        )
    return config


def few_step_recipe(head: Choices, summary: DataSummary, teacher: DenoiserConfig) -> Draft:
    """The recipe of the student."""
    kind = teacher.data.kind
    scale = Choice(_advised_scale(teacher), f"as the card of {teacher.name} advises" if _guided(teacher) else "")
    return Draft(
        head | {"teacher": Choice(teacher.name, "the base denoiser: train it before, and this again after it")},
        {
            "distillation": Section(_distillation(summary, teacher)),
            "optimisation": _optimisation(kind),
            "sampling": Section({"sampler": Choice("ddim"), "steps": Choice(2, "or 1, or 4"), "guidance_scale": scale}),
        },
    )


def few_step_control_recipe(head: Choices, summary: DataSummary, teacher: DenoiserConfig, role: Role) -> Draft:
    """The recipe of a ControlNet beside the student. It learns from runs of the ControlNet beside the student's
    teacher."""
    kind, dataset, control = teacher.data.kind, teacher.data.dataset, role.removeprefix(f"{Role.FAST}-")
    distillation = _distillation(summary, teacher)
    if _guided(teacher):
        distillation["label_drop"] = Choice(0.5, "half of the runs have no label, so that hints alone work too")
    return Draft(
        head
        | {
            "base": Choice(f"{dataset}-{SUFFIXES[Role.FAST]}", "the student: train it before, and this after it"),
            "teacher": Choice(f"{dataset}-{control}", "the ControlNet whose runs it learns from: train it first"),
            "control_scale": Choice(1.0),
        },
        {
            "distillation": Section(distillation),
            "optimisation": _optimisation(kind),
            "sampling": Section(
                {"guidance_scale": Choice(1.0, "for hints without a label; measure, and set the best")}
            ),
        },
    )


def _guided(teacher: DenoiserConfig) -> bool:
    return teacher.conditioning is not None


def _advised_scale(teacher: DenoiserConfig) -> float:
    return teacher.sampling.guidance_scale if _guided(teacher) else 1.0


def _distillation(summary: DataSummary, teacher: DenoiserConfig) -> Choices:
    guided, runs = _guided(teacher), RUNS[teacher.data.kind]
    choices: Choices = {
        "guidance_range": Choice(
            [1.0, max(WIDEST, _advised_scale(teacher))] if guided else [1.0, 1.0],
            "the scales that may be asked for" if guided else f"{teacher.name} has no labels, so nothing guides it",
        )
    }
    if guided and teacher.sampling.guidance_interval is not None:
        interval = list(teacher.sampling.guidance_interval)
        choices["guidance_interval"] = Choice(interval, f"as the card of {teacher.name} advises")
    choices["trajectories"] = Choice(runs, "runs of the teacher, which are kept in the cache")
    if summary.images:
        choices["precision"] = Choice("bfloat16", "in which the teacher runs where the device has it")
    return choices


def _optimisation(kind: str) -> Section:
    return Section(
        training_length(STEPS[kind], BATCH[kind], RUNS[kind], "runs")
        | {
            "batch_size": Choice(BATCH[kind]),
            "learning_rate": Choice(RATE[kind], "small: it starts as its teacher"),
            "final_learning_rate": Choice(0.05),
            "beta2": Choice(0.99),
            "gradient_clip": Choice(10.0),
        }
    )
