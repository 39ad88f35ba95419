"""`python -m training`: make checkpoints and measure them."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from accelerate import Accelerator

from training.denoising import DenoisingTask
from training.judging import JudgeTask
from training.recipe import JudgeRecipe, RecipeError, load_recipe, recipe_names
from training.trainer import Interrupted
from training.trainer import train as run_training

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)

Checkpoints = Annotated[Path, typer.Option(help="Folder of the checkpoints.")]


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a TOML file.")],
    start_from: Annotated[
        str | None, typer.Option("--from", help="Begin with this checkpoint's weights (a name, or a folder).")
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Forget the state of an earlier run instead of going on from it.")] = False,
    checkpoints: Checkpoints = Path("checkpoints"),
    runs: Annotated[Path, typer.Option(help="Folder for states, logs and sample pictures.")] = Path("runs"),
) -> None:
    """Train a recipe into checkpoints/<name>. Stopped by Ctrl-C or a kill, the same command goes on."""
    made = load_recipe(recipe)
    run = runs / made.name
    accelerator = Accelerator(mixed_precision=made.optimisation.mixed_precision)
    if accelerator.is_main_process:
        if fresh:
            shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()
    folder = None if start_from is None else _folder(start_from, checkpoints)
    task = JudgeTask(made) if isinstance(made, JudgeRecipe) else DenoisingTask(made, folder)
    network = run_training(task, run, accelerator)
    if accelerator.is_main_process:
        task.save(network, checkpoints / made.name)


@app.command("list")
def list_recipes() -> None:
    """The shipped recipes."""
    for name in recipe_names():
        typer.echo(f"{name:20} {load_recipe(name).description}")


def _folder(name_or_path: str, checkpoints: Path) -> Path:
    path = Path(name_or_path)
    return path if path.is_dir() else checkpoints / name_or_path


def main() -> None:
    try:
        app()
    except RecipeError as error:
        raise SystemExit(f"error: {error}") from None
    except Interrupted as interruption:
        typer.echo(f"{interruption}; the same command goes on from there")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
