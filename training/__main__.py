"""`python -m training`: make checkpoints and measure them."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Literal

import typer
from accelerate import Accelerator

from model.checkpoints.reference_points import REFERENCE
from model.compilation import CompilerMissing, need_compiler
from model.samplers import SAMPLERS
from training.data.training_set import DataError, FiniteSet
from training.evaluate.command import (
    evaluate_checkpoint,
    evaluate_guided,
    evaluate_likelihood,
    evaluate_memorisation,
)
from training.evaluate.sampling_run import SamplingRun
from training.init.command import InitOptions
from training.init.command import init as make_recipes
from training.init.roles import Role
from training.init.survey import left_out_lines
from training.recipe import (
    OWN_RECIPES,
    RecipeError,
    load_recipe,
    recipe_names,
)
from training.reference_points import keep_reference
from training.report.command import SECTIONS, make_report
from training.tasks.registry import find_checkpoint, make_task
from training.trainer import Interrupted, newest_state
from training.trainer import train as run_training

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)

Checkpoints = Annotated[Path, typer.Option(help="Folder of the checkpoints.")]
Recipes = Annotated[Path, typer.Option(help="Folder of your own recipes.")]


def _can_compile(wanted: bool) -> bool:
    try:
        if wanted:
            need_compiler()
    except CompilerMissing as error:
        raise typer.BadParameter(str(error)) from error
    return wanted


def _known_sampler(name: str | None) -> str | None:
    if name is not None and name not in SAMPLERS:
        raise typer.BadParameter(f"use one of {', '.join(SAMPLERS)}")
    return name


Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        callback=_can_compile,
        help="Compile the networks of images: a third faster, for thousands of samples; needs a C++ compiler.",
    ),
]


@app.command()
def init(
    path: Annotated[str, typer.Argument(help="A folder of images, one folder a class or flat; or a CSV of numbers.")],
    name: Annotated[
        str, typer.Option(help="What the data are to be called in requests, and the recipe.", metavar="NAME")
    ],
    role: Annotated[
        list[Role] | None,
        typer.Option(
            help=f"What to train: {', '.join(Role)}. May come several times. Default: conditional where there are "
            "classes, else unconditional.",
            metavar="ROLE",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Pixels a side, or HEIGHTxWIDTH. Default: by what is there.", metavar="SIZE")
    ] = None,
    grey: Annotated[
        bool | None, typer.Option("--grey/--colours", help="One channel or three. Default: by what is there.")
    ] = None,
    fit: Annotated[
        Literal["crop", "stretch"],
        typer.Option(help="Of images of another shape: crop takes the largest part around the middle, stretch all."),
    ] = "crop",
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Whether folders, or a column, are classes.")
    ] = True,
    label: Annotated[
        str | None, typer.Option(help="CSV: the column of classes. Default: one that looks like it.", metavar="COLUMN")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="CSV: leave this column out. May come several times.", metavar="COLUMN"),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Augment: mirror every other image.")] = False,
    shift: Annotated[int, typer.Option(min=0, help="Augment: move images by up to so many pixels.")] = 0,
    colour: Annotated[float, typer.Option(min=0, max=0.9, help="Augment: vary brightness, contrast, colour.")] = 0.0,
    jitter: Annotated[float, typer.Option(min=0, max=0.9, help="CSV: add noise, in standard deviations.")] = 0.0,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="Train for at most so long. Default: for as long as there is to learn."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="The checkpoint that a ControlNet is to steer. Default: what --name says.", metavar="NAME"),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option("--from", help="Take the network of this checkpoint, to begin with its weights.", metavar="NAME"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over recipes that are there.")] = False,
    recipes: Recipes = OWN_RECIPES,
    checkpoints: Checkpoints = Path("checkpoints"),
) -> None:
    """Look at your own data, propose how to train on them, measure how long that takes, and write recipes/NAME.toml."""
    wishes = InitOptions(
        roles=role or (),
        size=None if size is None else parse_size(size),
        channels=None if grey is None else 1 if grey else 3,
        fit=fit,
        labels=labels,
        label=label,
        without=without or (),
        flip=flip,
        shift=shift,
        colour=colour,
        jitter=jitter,
        minutes=minutes,
        base=base,
        start_from=None if start_from is None else find_checkpoint(start_from, checkpoints),
    )
    written = make_recipes(
        path,
        name,
        wishes,
        recipes=recipes,
        checkpoints=checkpoints,
        force=force,
        say=typer.echo,
    )
    begin = "" if start_from is None else f" --from {start_from}"
    for recipe in written:
        typer.echo(f"now: python -m training train {recipe.stem}{begin}")


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, your own or shipped (see list); or a TOML file.")],
    start_from: Annotated[
        str | None,
        typer.Option("--from", help="Begin with this checkpoint's weights (a name, or a folder).", metavar="NAME"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an earlier run instead of going on from it.")] = False,
    evaluate: Annotated[bool, typer.Option(help="Measure the checkpoint when it is done.")] = True,
    recipes: Recipes = OWN_RECIPES,
    checkpoints: Checkpoints = Path("checkpoints"),
    runs: Annotated[Path, typer.Option(help="Folder for states, logs and sample pictures.")] = Path("runs"),
) -> None:
    """Train a recipe into checkpoints/NAME. Where it was stopped, by Ctrl-C or a kill, the same command goes on."""
    made = load_recipe(recipe, recipes)
    run = runs / made.name
    accelerator = Accelerator(mixed_precision=made.optimisation.mixed_precision)
    goes_on = newest_state(run) is not None and not fresh
    if start_from is not None and goes_on:
        raise RecipeError(
            f"{run} holds a state of {made.name}: without --from that run goes on; with --from add --fresh to forget it"
        )
    identity = run / "data"  # of what it was begun on
    begun = run / "started_from"  # a run that goes on is still one that began so
    if start_from is None and goes_on and begun.is_file():
        start_from = begun.read_text()
    with accelerator.local_main_process_first():  # one process downloads what is missing
        task = make_task(made, checkpoints, start_from)
    own = task.data if isinstance(task.data, FiniteSet) else None
    if own is not None and goes_on and identity.is_file() and identity.read_text() != own.identity:
        raise RecipeError(f"{made.data.dataset} has changed since {run} was begun: add --fresh to begin anew")
    if own is not None and accelerator.is_main_process:
        for line in left_out_lines(own):
            typer.echo(line)
    if accelerator.is_main_process:  # nothing is forgotten before all that can be wrong has been looked at
        if fresh:
            shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True, exist_ok=True)
        if own is not None:
            identity.write_text(own.identity)
        if start_from is not None:
            begun.write_text(start_from)
    accelerator.wait_for_everyone()
    network = run_training(task, run, accelerator)
    if accelerator.is_main_process:
        folder = checkpoints / made.name
        task.save(network, folder)
        typer.echo(f"{made.name}: written to {folder}")
        if evaluate:
            evaluate_checkpoint(folder, checkpoints, SamplingRun(accelerator.device))


@app.command()
def evaluate(
    name: Annotated[str, typer.Argument(help="Name of a checkpoint, or a folder.")],
    samples: Annotated[
        int | None,
        typer.Option(
            min=10, help="How many. Default: as many images as are held out, 1,000 … 10,000; or 10 × 5,000 points."
        ),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(callback=_known_sampler, metavar="|".join(SAMPLERS), help="Default: the card's.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Default: the card's; of points 50.")] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(min=0, max=20, help="Default: the card's. With hints of the label, and of hints alone."),
    ] = None,
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="bfloat16 is compared with float32's figures, and allowed to be served if it loses nothing."),
    ] = "float32",
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="The same seed draws the same samples; others share none.")
    ] = 0,
    guidance_model: Annotated[
        str | None,
        typer.Option(
            help="Steer by this classifier's or CLIP's gradient; --guidance-scale is then the gradient's.",
            metavar="NAME",
        ),
    ] = None,
    likelihood: Annotated[
        bool, typer.Option("--likelihood", help="Bits per dimension instead, over 50 steps and over all of them.")
    ] = False,
    memorisation: Annotated[
        bool, typer.Option("--memorisation", help="How near samples are to what was trained on, instead.")
    ] = False,
    compile: Compile = False,
    checkpoints: Checkpoints = Path("checkpoints"),
) -> None:
    """Measure a checkpoint. At the card's own settings the figures go into its config.json and model card."""
    others = bool(sampler or steps or guidance_model or guidance_scale is not None)
    if memorisation and (others or likelihood or precision != "float32"):
        raise RecipeError(
            "--memorisation goes with --samples, --seed and --compile only: it is of the card's own settings"
        )
    if likelihood and others:
        raise RecipeError(
            "--likelihood goes with --samples, --precision, --seed and --compile only: it draws no samples"
        )
    changed = {"sampler": sampler, "steps": steps, "guidance_scale": guidance_scale}
    asked = {"samples": samples, "changed": {key: value for key, value in changed.items() if value is not None}}
    folder, how = find_checkpoint(name, checkpoints), SamplingRun(Accelerator().device, seed, precision, compile)
    if memorisation:
        metrics = evaluate_memorisation(folder, how, samples=samples)
    elif likelihood:
        metrics = evaluate_likelihood(folder, how, samples=samples)
    elif guidance_model is not None:
        metrics = evaluate_guided(folder, find_checkpoint(guidance_model, checkpoints), checkpoints, how, **asked)
    else:
        metrics = evaluate_checkpoint(folder, checkpoints, how, **asked)
    typer.echo(json.dumps(metrics, indent=2))


@app.command()
def report(
    only: Annotated[
        list[str] | None, typer.Argument(help="Measure these checkpoints only. Default: all.", metavar="NAME")
    ] = None,
    section: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Measure for this one only: {', '.join(SECTIONS)}. May come several times. Default: for all.",
            metavar="SECTION",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Measure every setting again, also those that are known.")
    ] = False,
    compile: Compile = False,
    checkpoints: Checkpoints = Path("checkpoints"),
    reports: Annotated[Path, typer.Option(help="Folder of quality.md, its pictures and its measurements.")] = Path(
        "reports"
    ),
) -> None:
    """Measure, and write the quality report. Where it was stopped, the same command goes on."""
    device = Accelerator().device
    make_report(checkpoints, reports, device, full=full, only=only or (), sections=section or (), compile=compile)


@app.command()
def reference(
    name: Annotated[str, typer.Argument(help="Name of a checkpoint, or a folder.")],
    checkpoints: Checkpoints = Path("checkpoints"),
) -> None:
    """Keep up to 2,000 real points beside a checkpoint of points.

    The playground shows its samples over them, and whoever may use the service may read them.
    """
    folder = find_checkpoint(name, checkpoints)
    typer.echo(f"{folder}: {keep_reference(folder):,} real points are kept in {REFERENCE}")


@app.command("list")
def list_recipes(recipes: Recipes = OWN_RECIPES) -> None:
    """List the recipes, your own and the shipped ones."""
    for name in [*recipe_names(recipes), *recipe_names()]:
        typer.echo(f"{name:20} {load_recipe(name, recipes).description}")


def parse_size(text: str) -> tuple[int, int]:
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise RecipeError(f"--size {text!r}: give pixels a side (32), or height x width (32x48)")
    return int(sides[0]), int(sides[-1])


def main() -> None:
    try:
        app()
    except (RecipeError, DataError) as error:
        raise SystemExit(f"error: {error}") from None
    except Interrupted as interruption:
        typer.echo(f"{interruption}; the same command (without --from or --fresh) goes on from there")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
