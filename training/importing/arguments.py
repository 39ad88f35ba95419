"""`python -m training import`: its options."""

import re
from pathlib import Path
from typing import Annotated

import typer

from model.checkpoints.config import NAME_PATTERN
from model.data import MAX_NAME
from training.cli_options import CHECKPOINTS, Checkpoints, sides
from training.exporting.serving_graphs import write_graph
from training.importing.import_command import import_model
from training.importing.imported import ImportOptions


def import_(
    path: Annotated[
        Path, typer.Argument(help="A folder of diffusers' pipeline or UNet2DModel; or a .pt of lucidrains or openai.")
    ],
    name: Annotated[str, typer.Option(help="Of the checkpoint.", metavar="NAME")],
    dataset: Annotated[
        str | None, typer.Option(help="The name of the data in requests. Default: the checkpoint's name.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Names of the classes, by commas. Default: their numbers.", metavar="A,B,…")
    ] = None,
    null_class: Annotated[
        int | None,
        typer.Option(min=0, help="The class that means no label. Without it nothing is guided.", metavar="NUMBER"),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Pixels a side, or HEIGHTxWIDTH. Default: the model's.", metavar="SIZE")
    ] = None,
    scheduler: Annotated[
        Path | None, typer.Option(help="A scheduler's folder or config, instead of the model's.", metavar="PATH")
    ] = None,
    flags: Annotated[
        str | None,
        typer.Option(
            help="Of openai's improved-diffusion or guided-diffusion, as on their command line.",
            metavar='"--image_size …"',
        ),
    ] = None,
    timesteps: Annotated[
        str | None,
        typer.Option(help="Of a consistency model: those of its recipe, as diffusers numbers them.", metavar="22,0"),
    ] = None,
    graph: Annotated[bool, typer.Option(help="Make the graph that CPUs serve it by: some 10 to 60 s.")] = True,
    checkpoints: Checkpoints = CHECKPOINTS,
) -> None:
    """Make a checkpoint of another library's model. docs/import.md says what is read, and how it is sampled."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise typer.BadParameter(f"{name}: a-z, 0-9, '.', '_' and '-', at most 64 of them", param_hint="--name")
    if dataset is not None and not 1 <= len(dataset) <= MAX_NAME:
        raise typer.BadParameter(f"1 to {MAX_NAME} characters, not {len(dataset)}", param_hint="--dataset")
    options = ImportOptions(
        name,
        dataset,
        None if labels is None else tuple(label.strip() for label in labels.split(",")),
        null_class,
        None if size is None else sides(size),
        scheduler,
        flags,
        None if timesteps is None else _numbers(timesteps),
    )

    def finish(folder: Path) -> None:
        if graph:
            write_graph(folder, "denoiser")

    target, imported = import_model(path, checkpoints, options, finish)
    typer.echo(f"{name}: {imported.config.imported}: written to {target}")
    for note in imported.notes:
        typer.echo(f"{name}: {note}")


def _numbers(timesteps: str) -> tuple[int, ...]:
    """Raises BadParameter."""
    if re.fullmatch(r"\d{1,6}(,\d{1,6})*", timesteps) is None:
        raise typer.BadParameter(f"{timesteps}: give numbers by commas, such as 22,0", param_hint="--timesteps")
    return tuple(map(int, timesteps.split(",")))
