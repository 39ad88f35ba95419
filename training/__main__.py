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
from pathlib import Path
from typing import Annotated

import typer
from accelerate import Accelerator

from model.checkpoints.base import Precision
from model.checkpoints.reference_points import REFERENCE
from model.checkpoints.training_rows import TRAINING_ROWS
from model.checkpoints.weights import CheckpointError
from model.precision import has_bfloat16
from model.samplers import SAMPLERS
from training.cli_options import CHECKPOINTS, Checkpoints, Compile, Recipes, known_sampler
from training.data.training_set import DataError
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
from training.importing.arguments import import_
from training.init.arguments import init
from training.recipe import OWN_RECIPES, RecipeError, about_recipe, recipe_names
from training.reference_points import keep_reference
from training.report.command import SECTIONS, make_report
from training.tasks.registry import find_checkpoint
from training.train_command import train
from training.trainer import Interrupted
from training.training_rows import keep_training_rows
from training.utility.command import utility

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)

app.command()(init)
app.command()(train)
app.command()(export)
app.command("import")(import_)
app.command()(utility)


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
    if precision == "bfloat16" and not has_bfloat16(run.device):
        typer.echo(f"{name}: {run.device.type} emulates bfloat16: that takes several times as long", err=True)
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
