"""`init`: survey own data, propose recipes for them, and write these."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from accelerate import Accelerator, PartialState

from model.checkpoints.config import NAME_PATTERN, load_config
from model.checkpoints.denoiser import DenoiserConfig
from model.checkpoints.weights import CheckpointError
from training.data.data_section import BUILT_IN
from training.data.training_set import FiniteSet
from training.disk import need_writable
from training.init.choices import Draft, comment
from training.init.few_steps import teacher_config
from training.init.optimisation import with_steps
from training.init.own_data import InitOptions, Say, image_section, table_section, written_path
from training.init.probe import evaluation_seconds, measure_pace, ready_at_once, runs_seconds
from training.init.propose import recipe_for
from training.init.roles import IN_ORDER, STUDENTS, SUFFIXES, DataSummary, Role, UnsupportedRole
from training.recipe import DistillingRecipe, RecipeError, parse_recipe, recipe_names
from training.tasks.registry import make_task, needed

FEWEST_STEPS = 100
NOISE = 0.2  # share of the steps that the data need: after fewer, samples are noise


def init(
    path: str,
    name: str,
    options: InitOptions,
    *,
    recipes: Path,
    checkpoints: Path,
    force: bool = False,
    say: Say,
) -> list[Path]:
    """Write a recipe for each role, and return their paths.

    path         a folder of images, or a CSV
    name         of the data in requests, and of the recipes
    recipes      the folder of the recipes
    checkpoints  the folder of checkpoints that recipes build on
    force        overwrite recipes
    say          print a line

    Raises DataError and RecipeError, with the remedy.
    """
    _check_name(name)
    need_writable(recipes, "give another folder by --recipes")
    for known in [_own_name(name, role) for role in options.roles] or [name]:  # before the data are looked at
        _free(recipes, known, force)
    taken_from = None if options.start_from is None else _starting_config(options.start_from)
    if taken_from is not None:
        _refuse_unlike_data(taken_from, path, options.channels)
    device = PartialState().device
    if Path(path).is_dir():
        data, examples = image_section(path, name, options, taken_from, device, say)
    else:
        data, examples = table_section(path, name, options, say)
        if taken_from is not None and examples.config.shape != taken_from.data.shape:
            (own,), (theirs,) = examples.config.shape, taken_from.data.shape
            raise RecipeError(
                f"--from: {taken_from.name} has points of {theirs} dimensions, and {path} has {own}: leave columns out "
                f"by --without, or train without --from"
            )
    captioned = bool(examples.examples.captions)
    rows = len(examples.with_unlabelled())
    teacher = None
    for student in (role for role in options.roles if role in STUDENTS):  # one teacher, which must suit them all
        teacher = teacher_config(student, options.base or name, checkpoints, name)
    held_out = len(examples.held_out)
    summary = DataSummary(
        rows, examples.config, device, captioned, taken_from, held_out, teacher=teacher, clusters=options.clusters
    )
    roles = options.roles or _default_roles(summary)
    if options.clusters is not None and Role.CLUSTERED not in roles:
        raise RecipeError(f"--clusters is for the role {Role.CLUSTERED}: add it by --role, or leave --role away")
    texts, reports = dict[Path, str](), []
    for role in sorted(set(roles), key=IN_ORDER.index):
        own_name = name if role == roles[-1] and not options.roles else _own_name(name, role)
        target = _free(recipes, own_name, force)
        try:
            draft = recipe_for(role, own_name, data, summary, options.base or _base(role, roles, name))
        except UnsupportedRole as error:
            raise RecipeError(str(error)) from error
        draft, duration = _timed(draft, target, summary, options, checkpoints)
        texts[target] = _heading(path, examples) + draft.to_toml()
        reports.append(f"{target}: {duration}")
    # All or none: recipes from before a refusal would hinder the next try.
    for target, text in texts.items():
        target.write_text(text, encoding="utf-8")
    for report in reports:
        say(report)
    return list(texts)


def _own_name(name: str, role: Role) -> str:
    """What a recipe is called that is one of several; the conditional one answers, so it has the data's own name."""
    return name if role == Role.CONDITIONAL else f"{name}-{SUFFIXES[role]}"


def _free(recipes: Path, name: str, force: bool) -> Path:
    """Where a recipe goes. Raises RecipeError where one is, unless `force` overwrites it."""
    target = recipes / f"{name}.toml"
    if target.exists() and not force:
        raise RecipeError(f"{target} is there: --force writes it anew, another --name beside it")
    return target


def _default_roles(summary: DataSummary) -> tuple[Role, ...]:
    """The last one answers by default, so its recipe has the data's own name."""
    if summary.clusters is None:
        return (Role.CONDITIONAL if summary.data.labels else Role.UNCONDITIONAL,)
    return (Role.UNCONDITIONAL, Role.CLUSTERED) if summary.images else (Role.CLUSTERED,)


def _base(role: Role, roles: Sequence[Role], name: str) -> str:
    """The denoiser that a recipe builds on where none is named. Features are those of the unconditional one. A weak
    network guides that one, too, if it is proposed beside it and no conditional one is."""
    unconditional = Role.UNCONDITIONAL in roles and Role.CONDITIONAL not in roles
    if role == Role.CLUSTERED or (role == Role.AUTOGUIDANCE and unconditional):
        return f"{name}-{SUFFIXES[Role.UNCONDITIONAL]}"
    return name


def _timed(
    draft: Draft, target: Path, summary: DataSummary, options: InitOptions, checkpoints: Path
) -> tuple[Draft, str]:
    """(the recipe with its measured duration, a report of that); it has fewer steps if `options.minutes` demand it.

    Raises RecipeError if the minutes are too few, or if it cannot start from `options.start_from`.
    """
    minutes = options.minutes
    made = parse_recipe(draft.plain(), str(target))
    missing = [folder.name for folder in needed(made, checkpoints).values() if not folder.is_dir()]
    if missing:
        first = f"train {' and '.join(missing)} first"
        if minutes is not None:
            first += ", then init again with --force: --minutes is not kept, for no step can be timed without it"
        return draft, f"{made.optimisation.steps:,} steps; {first}"
    start = None if options.start_from is None else str(options.start_from)
    task = make_task(ready_at_once(made), checkpoints, start)
    size = sum(parameter.numel() for parameter in task.network.parameters())
    accelerator = Accelerator(mixed_precision="no")
    pace = measure_pace(task, accelerator)
    seconds, enough = pace.seconds, made.optimisation.steps
    steps, evaluation, runs = enough, evaluation_seconds(made, summary, pace), runs_seconds(made, task)
    beside = evaluation + runs
    if minutes is not None and steps * seconds + beside > 60 * minutes:
        steps = max(0, int((60 * minutes - beside) / seconds))
        if steps < FEWEST_STEPS:
            least = math.ceil((FEWEST_STEPS * seconds + beside) / 6) / 10
            smaller = ", or take smaller pictures by --size" if summary.images and "data" in draft.sections else ""
            measured = f" and measuring its samples {_duration(evaluation)}" if evaluation else ""
            measured += f" and the teacher's runs {_duration(runs)}" if runs else ""
            raise RecipeError(
                f"{made.name}: a step takes {seconds:.2g} s here{measured}, so that {minutes:g} minutes are {steps} "
                f"steps, too few to learn anything: allow at least --minutes {least:g}{smaller}"
            )
        rows = (made.distillation.trajectories, "runs") if isinstance(made, DistillingRecipe) else (summary.rows,)
        draft = with_steps(draft, steps, made.optimisation.batch_size, *rows)
    total = _duration(steps * seconds + beside)
    duration = f"about {total} on this {summary.device.type.upper()}, {seconds * 1000:.0f} ms a step"
    if runs:
        duration += f", of which {_duration(runs)} for the teacher's runs"
    if evaluation:
        duration += f", of which {_duration(evaluation)} to measure its samples afterwards"
    if pace.shared:
        duration += ", measured while other work ran on it: alone it is quicker"
    sections = dict(draft.sections)
    sections["optimisation"] = replace(sections["optimisation"], why=duration)
    if "network" in sections and not sections["network"].why:
        sections["network"] = replace(sections["network"], why=f"{size / 1e6:.2g} M parameters")
    return replace(draft, sections=sections), f"{_of_enough(steps, enough)}, {duration}"


def _of_enough(steps: int, enough: int) -> str:
    """The number of steps, and what to expect of it if it is not enough."""
    if steps == enough:
        return f"{steps:,} steps"
    learned = "hardly anything, so that samples are noise" if steps < NOISE * enough else "less than there is to learn"
    return f"{steps:,} of about {enough:,} steps: it will learn {learned}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _heading(path: str, data: FiniteSet) -> str:
    """The comment at the top of a recipe."""
    n, classes = len(data.examples) + len(data.held_out), len(data.config.labels)
    what = f"{n:,} {'images' if data.config.kind == 'images' else 'points'}"
    made = f"Made by init from {written_path(path)}: {what}{f' in {classes} classes' if classes else ''}."
    return f"{comment(made)}\n\n"


def _check_name(name: str) -> None:
    """Raises RecipeError if the name is malformed or taken."""
    if not re.match(NAME_PATTERN, name):
        raise RecipeError(f"--name {name!r}: small letters, digits, '.', '_' and '-', beginning with a letter or digit")
    if name.endswith(".toml"):
        raise RecipeError(f"--name {name!r} is the name of a model: the ending comes of itself")
    if name in BUILT_IN or name in recipe_names():
        raise RecipeError(f"--name {name!r} is taken by what comes with this package: take another")


def _starting_config(folder: Path) -> DenoiserConfig:
    """The config of the checkpoint that training starts from. Raises RecipeError."""
    try:
        return load_config(folder, DenoiserConfig)
    except CheckpointError as error:
        raise RecipeError(f"--from: {error}") from error


def _refuse_unlike_data(taken_from: DenoiserConfig, path: str, channels: int | None) -> None:
    """Raises RecipeError where the weights fit no data of that kind, or of so many channels."""
    kind, own = taken_from.data.kind, "images" if Path(path).is_dir() else "points"
    if kind != own:
        raise RecipeError(f"--from: {taken_from.name} has {kind}, and {path} has {own}: name a checkpoint of {own}")
    (theirs, *_) = taken_from.data.shape
    if kind == "images" and channels not in (None, theirs):
        raise RecipeError(
            f"{'--grey' if channels == 1 else '--colours'}: the images of {taken_from.name}, which training is to "
            f"start from, have {theirs} {'channel' if theirs == 1 else 'channels'}: leave the option or --from away"
        )
