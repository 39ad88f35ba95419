"""`train`: a recipe becomes a checkpoint, which is then measured."""

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from accelerate import Accelerator
from torch import nn

from model.checkpoints.base import GRAPH
from model.checkpoints.config import CONFIG, load_config
from model.checkpoints.roles import LOADERS
from model.checkpoints.weights import CheckpointError
from training.card.usability import usability
from training.cli_options import CHECKPOINTS, Checkpoints, Recipes
from training.data import DATA_IDENTITY
from training.disk import need_space, need_writable
from training.evaluate.command import evaluate_checkpoint
from training.evaluate.sampling_run import SamplingRun
from training.exporting.serving_graphs import write_graph
from training.init.survey import left_out_lines
from training.kept_weights import check_keeping, still_to_keep
from training.recipe import OWN_RECIPES, Recipe, load_recipe
from training.resume import RunFolder, sources_of
from training.shared_folder import need_shared
from training.tasks.registry import make_task
from training.tasks.task import Task
from training.tracking import Tracker, tracked, tracking_accelerator
from training.trainer import Interrupted, training_precision
from training.trainer import train as run_training
from training.weights_hash import weights_hash


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, your own or shipped (see list); or a TOML file.")],
    start_from: Annotated[
        str | None,
        typer.Option("--from", help="Start from this checkpoint's weights (a name, or a folder).", metavar="NAME"),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete an earlier run instead of continuing it.")] = False,
    evaluate: Annotated[bool, typer.Option(help="Measure the checkpoint after training.")] = True,
    graph: Annotated[bool, typer.Option(help="Make the graph that CPUs serve it by: some 10 to 60 s.")] = True,
    keep_every: Annotated[
        int | None,
        typer.Option(min=1, help="Also keep the weights after each so many steps, as checkpoints in RUNS/NAME/kept."),
    ] = None,
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
        _train(made, run, accelerator, checkpoints, start_from, log_with, keep_every, evaluate=evaluate, graph=graph)


def _train(
    made: Recipe,
    run: RunFolder,
    accelerator: Accelerator,
    checkpoints: Path,
    start_from: str | None,
    log_with: Tracker,
    keep_every: int | None,
    *,
    evaluate: bool,
    graph: bool,
) -> None:
    """Train in a run's folder that no other process trains in, then save and measure the checkpoint."""
    if keep_every is not None:
        check_keeping(made, keep_every)
    start_from = run.resolve_start(made.name, start_from)
    with accelerator.local_main_process_first():  # one process downloads what is missing
        task = make_task(made, checkpoints, start_from, begun=run.continues)
    if task.data.real is not None and task.data.real.identity:
        known = task.config.recipe | {DATA_IDENTITY: task.data.real.identity}
        task.config = task.config.model_copy(update={"recipe": known})
    sources = sources_of(task, checkpoints)
    run.check(sources)
    if accelerator.is_main_process:  # the last check is done before anything is deleted
        for line in left_out_lines(task.data.real) if task.data.real is not None else ():
            typer.echo(line)
        wanted = made.optimisation.mixed_precision
        if wanted == "bf16" and training_precision(made.optimisation, accelerator.device) == "float32":
            typer.echo(f"{made.name}: trained in float32: this {accelerator.device.type.upper()} has no bfloat16")
        folder = checkpoints / made.name
        need_writable(folder if folder.exists() else checkpoints, "give another folder by --checkpoints")
        kept = 0 if keep_every is None else still_to_keep(made, keep_every, run.step)
        need_space(run.path.parent, checkpoints, task.network, kept)
        run.prepare(sources, start_from)
    accelerator.wait_for_everyone()
    need_shared(run.path, accelerator)
    with tracked(accelerator, made, log_with):
        network = run_training(task, run.path, accelerator, keep_every)
    if accelerator.is_main_process:
        folder = checkpoints / made.name
        written = _is_written(task, network, folder)
        if written:
            typer.echo(f"{made.name}: {folder} has these weights already")
        else:
            task.save(network, folder)
            typer.echo(f"{made.name}: written to {folder}")
        if graph and task.config.role in LOADERS and not (written and (folder / GRAPH).is_file()):
            write_graph(folder, task.config.role)
        if evaluate:
            try:
                found = usability(evaluate_checkpoint(folder, checkpoints, SamplingRun(accelerator.device)))
            except KeyboardInterrupt:
                raise Interrupted(f"{made.name}: it can be served, but is not measured") from None
            typer.echo(f"{made.name}: its card is {folder / 'README.md'}" + (f". {found}" if found else ""))


def _is_written(task: Task, network: nn.Module, folder: Path) -> bool:
    """Does the folder have the network already, by this recipe? What was measured of it and made for it since stays."""
    if not (folder / CONFIG).is_file():
        return False
    with TemporaryDirectory() as place:
        made = Path(place) / folder.name
        task.save(network, made)
        ours = load_config(made, type(task.config))
        try:
            theirs = load_config(folder, type(task.config))
        except CheckpointError:
            return False
        return theirs.recipe == ours.recipe and weights_hash(folder, theirs) == weights_hash(made, ours)
