"""`python -m training`: train checkpoints and measure them."""

from training.needed_packages import missing_packages

if missing := missing_packages():
    raise SystemExit(
        f"error: training needs {', '.join(missing)}; `make train-env` installs all of it into .venv, and "
        "`. .venv/bin/activate` makes that the environment of this terminal"
    )

import errno
import io
import json
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from accelerate import Accelerator

from model.checkpoints.base import Precision
from model.checkpoints.reference_points import REFERENCE
from model.checkpoints.roles import LOADERS
from model.checkpoints.training_rows import TRAINING_ROWS
from model.checkpoints.weights import CheckpointError
from model.precision import has_bfloat16
from model.samplers import SAMPLERS
from training.card.usability import usability
from training.cli_options import CHECKPOINTS, Checkpoints, Compile, Recipes, known_sampler
from training.data import DATA_IDENTITY
from training.data.training_set import DataError
from training.disk import need_space, need_writable
from training.evaluate.command import (
    ChangedSettings,
    evaluate_checkpoint,
    evaluate_farthest,
    evaluate_guided,
    evaluate_likelihood,
    evaluate_memorisation,
)
from training.evaluate.sampling_run import SamplingRun
from training.exporting.export_command import export
from training.exporting.serving_graphs import write_graph
from training.importing.arguments import import_
from training.init.arguments import init
from training.init.survey import left_out_lines
from training.recipe import OWN_RECIPES, Recipe, RecipeError, about_recipe, load_recipe, recipe_names
from training.reference_points import keep_reference
from training.report.command import SECTIONS, make_report
from training.resume import RunFolder, sources_of
from training.shared_folder import need_shared
from training.tasks.registry import find_checkpoint, make_task
from training.tracking import Tracker, tracked, tracking_accelerator
from training.trainer import Interrupted
from training.trainer import train as run_training
from training.training_rows import keep_training_rows
from training.utility.command import utility

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)

app.command()(init)
app.command()(export)
app.command("import")(import_)
app.command()(utility)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, your own or shipped (see list); or a TOML file.")],
    start_from: Annotated[
        str | None,
        typer.Option("--from", help="Start from this checkpoint's weights (a name, or a folder).", metavar="NAME"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete an earlier run instead of continuing it.")] = False,
    evaluate: Annotated[bool, typer.Option(help="Measure the checkpoint after training.")] = True,
    graph: Annotated[bool, typer.Option(help="Make the graph that CPUs serve it by: some 10 to 60 s.")] = True,
    log_with: Annotated[
        Tracker, typer.Option(help="Also write loss, speed and learning rate there; each needs its own package.")
    ] = "none",
    recipes: Recipes = OWN_RECIPES,
    checkpoints: Checkpoints = CHECKPOINTS,
    runs: Annotated[Path, typer.Option(help="Folder for states, logs and sample pictures.")] = Path("runs"),
) -> None:
    """Train a recipe into checkpoints/NAME. After Ctrl-C or a kill, the same command (without --fresh) continues."""
    made = load_recipe(recipe, recipes)
    run = RunFolder(runs / made.name, fresh)
    accelerator = tracking_accelerator(runs, log_with)
    if accelerator.is_main_process:
        need_writable(runs, "give another folder by --runs")
    with run.alone() if accelerator.is_main_process else nullcontext():
        _train(made, run, accelerator, checkpoints, start_from, log_with, evaluate=evaluate, graph=graph)


def _train(
    made: Recipe,
    run: RunFolder,
    accelerator: Accelerator,
    checkpoints: Path,
    start_from: str | None,
    log_with: Tracker,
    *,
    evaluate: bool,
    graph: bool,
) -> None:
    """Train in a run's folder that no other process trains in, then save and measure the checkpoint."""
    start_from = run.resolve_start(made.name, start_from)
    with accelerator.local_main_process_first():  # one process downloads what is missing
        task = make_task(made, checkpoints, start_from)
    if task.data.real is not None and task.data.real.identity:
        known = task.config.recipe | {DATA_IDENTITY: task.data.real.identity}
        task.config = task.config.model_copy(update={"recipe": known})
    sources = sources_of(task, checkpoints)
    run.check(sources)
    if accelerator.is_main_process:  # the last check is done before anything is deleted
        for line in left_out_lines(task.data.real) if task.data.real is not None else ():
            typer.echo(line)
        if made.optimisation.mixed_precision == "bf16" and not has_bfloat16(accelerator.device):
            typer.echo(f"{made.name}: trained in float32: this {accelerator.device.type.upper()} has no bfloat16")
        folder = checkpoints / made.name
        need_writable(folder if folder.exists() else checkpoints, "give another folder by --checkpoints")
        need_space(run.path.parent, checkpoints, task.network)
        run.prepare(sources, start_from)
    accelerator.wait_for_everyone()
    need_shared(run.path, accelerator)
    with tracked(accelerator, made, log_with):
        network = run_training(task, run.path, accelerator)
    if accelerator.is_main_process:
        folder = checkpoints / made.name
        task.save(network, folder)
        typer.echo(f"{made.name}: written to {folder}")
        if graph and task.config.role in LOADERS:
            write_graph(folder, task.config.role)
        if evaluate:
            try:
                found = usability(evaluate_checkpoint(folder, checkpoints, SamplingRun(accelerator.device)))
            except KeyboardInterrupt:
                raise Interrupted(f"{made.name}: it can be served, but is not measured") from None
            typer.echo(f"{made.name}: its card is {folder / 'README.md'}" + (f". {found}" if found else ""))


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
        str | None, typer.Option(callback=known_sampler, metavar="|".join(SAMPLERS), help="Default: the card's.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Default: the card's; of points 50.")] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(min=0, max=20, help="Default: the card's. With hints of the label, and of hints alone."),
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option(help="bfloat16 and int8 are compared with float32, and may be served if they lose nothing."),
    ] = "float32",
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**31 - 1, help="The same seed gives the same samples; other seeds share none."),
    ] = 0,
    guidance_model: Annotated[
        str | None,
        typer.Option(
            help="Guide by this classifier's or CLIP's gradient; --guidance-scale is then the gradient's.",
            metavar="NAME",
        ),
    ] = None,
    likelihood: Annotated[
        bool, typer.Option("--likelihood", help="Instead, bits per dimension over 50 steps and over all steps.")
    ] = False,
    memorisation: Annotated[
        bool, typer.Option("--memorisation", help="Instead, compare samples with their nearest training rows.")
    ] = False,
    farthest: Annotated[
        bool, typer.Option("--farthest", help="Instead, draw the samples that are farthest from real data.")
    ] = False,
    compile: Compile = False,
    checkpoints: Checkpoints = CHECKPOINTS,
) -> None:
    """Measure a checkpoint. At the card's own settings the metrics go into its config.json and model card."""
    others = bool(sampler or steps or guidance_model or guidance_scale is not None)
    if memorisation and (others or likelihood or precision != "float32"):
        raise RecipeError(
            "--memorisation goes with --samples, --seed and --compile only: it takes the card's own settings"
        )
    if farthest and (others or likelihood or memorisation or samples or precision != "float32"):
        raise RecipeError("--farthest goes with --seed and --compile only: it takes the card's own settings")
    if likelihood and others:
        raise RecipeError(
            "--likelihood goes with --samples, --precision, --seed and --compile only: it draws no samples"
        )
    changed: ChangedSettings = {}
    if sampler is not None:
        changed["sampler"] = sampler
    if steps is not None:
        changed["steps"] = steps
    if guidance_scale is not None:
        changed["guidance_scale"] = guidance_scale
    folder, run = find_checkpoint(name, checkpoints), SamplingRun(Accelerator().device, seed, precision, compile)
    metrics: Mapping[str, object]
    if farthest:
        metrics = evaluate_farthest(folder, checkpoints, run)
    elif memorisation:
        metrics = evaluate_memorisation(folder, run, samples=samples)
    elif likelihood:
        metrics = evaluate_likelihood(folder, run, samples=samples)
    elif guidance_model is not None:
        guidance_folder = find_checkpoint(guidance_model, checkpoints)
        metrics = evaluate_guided(folder, guidance_folder, checkpoints, run, samples=samples, changed=changed)
    else:
        metrics = evaluate_checkpoint(folder, checkpoints, run, samples=samples, changed=changed)
    typer.echo(json.dumps(metrics, indent=2))


@app.command()
def report(
    only: Annotated[
        list[str] | None, typer.Argument(help="Measure these checkpoints only. Default: all.", metavar="NAME")
    ] = None,
    section: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Measure for this section only: {', '.join(SECTIONS)}. May come several times. Default: for all.",
            metavar="SECTION",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Measure every setting again, also those that are known.")
    ] = False,
    compile: Compile = False,
    checkpoints: Checkpoints = CHECKPOINTS,
    reports: Annotated[Path, typer.Option(help="Folder of quality.md, its pictures and its measurements.")] = Path(
        "reports"
    ),
) -> None:
    """Measure, and write the quality report. After an interruption, the same command continues."""
    device = Accelerator().device
    make_report(checkpoints, reports, device, full=full, only=only or (), sections=section or (), compile=compile)


@app.command()
def reference(
    name: Annotated[str, typer.Argument(help="Name of a checkpoint, or a folder.")],
    checkpoints: Checkpoints = CHECKPOINTS,
) -> None:
    """Keep up to 2,000 real points beside a checkpoint of points.

    The playground shows its samples over them, and every user of the service can read them.
    """
    folder = find_checkpoint(name, checkpoints)
    typer.echo(f"{folder}: {keep_reference(folder):,} real points are kept in {REFERENCE}")


@app.command("training-rows")
def training_rows(
    name: Annotated[str, typer.Argument(help="Name of a checkpoint, or a folder.")],
    checkpoints: Checkpoints = CHECKPOINTS,
) -> None:
    """Keep the training rows beside a checkpoint, for jobs with `distinct`.

    Users of the service cannot read them; whoever gets the folder can.
    """
    folder = find_checkpoint(name, checkpoints)
    kept = keep_training_rows(folder)
    typer.echo(
        f"{folder}: {len(kept.rows):,} rows are kept in {TRAINING_ROWS}; nearer than {kept.threshold:.4g} is a copy"
    )


@app.command("list")
def list_recipes(recipes: Recipes = OWN_RECIPES) -> None:
    """List the recipes, your own and the shipped ones; of one that cannot be trained, why."""
    for name in [*recipe_names(recipes), *recipe_names()]:
        typer.echo(f"{name:20} {about_recipe(name, recipes)}")


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a help text has characters that its encoding may lack
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except (RecipeError, DataError, CheckpointError) as error:
        raise SystemExit(f"error: {error}") from None
    except OSError as error:  # of a file: a full disk, a folder that went away
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        raise SystemExit(f"error: {error.filename or 'a file'}: {error.strerror}") from None
    except Interrupted as interruption:
        typer.echo(f"{interruption}; the same command (without --fresh) continues from there")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
