"""`python -m training init`: its options."""

import shlex
from typing import Annotated, Literal

import typer

from training.cli_options import CHECKPOINTS, Checkpoints, Recipes, sides
from training.init.command import init as write_recipes
from training.init.own_data import InitOptions
from training.init.roles import Role
from training.recipe import OWN_RECIPES
from training.tasks.registry import find_checkpoint


def init(
    path: Annotated[
        str, typer.Argument(help="A folder of images, one folder a class or flat; or a table in CSV or Parquet.")
    ],
    name: Annotated[str, typer.Option(help="The name of the data in requests, and of the recipe.", metavar="NAME")],
    role: Annotated[
        list[Role] | None,
        typer.Option(
            help=f"What to train: {', '.join(Role)}. May come several times. Default: conditional where there are "
            "classes, else unconditional; with --clusters also clustered.",
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
    group: Annotated[
        str | None,
        typer.Option(
            help="Images: a regular expression that finds in a file's path what the image belongs to, such as a "
            "patient; that is held out whole, or not at all. Default: `group` in metadata.jsonl.",
            metavar="REGEX",
        ),
    ] = None,
    unlabelled: Annotated[
        str | None,
        typer.Option(
            help="Images: a folder of more, of the same size, that nobody has labelled. Denoisers are trained on them "
            "too: they learn from them what images look like.",
            metavar="FOLDER",
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="CSV: the column of classes. Default: one that looks like it.", metavar="COLUMN")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="CSV: leave this column out. May come several times.", metavar="COLUMN"),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(
            help="CSV: this column has categories, also if they are numbers. May come several times. Default: columns "
            "of words, of at most 50 different ones.",
            metavar="COLUMN",
        ),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Augment: mirror every other image.")] = False,
    shift: Annotated[int, typer.Option(min=0, help="Augment: move images by up to so many pixels.")] = 0,
    colour: Annotated[float, typer.Option(min=0, max=0.9, help="Augment: vary brightness, contrast, colour.")] = 0.0,
    jitter: Annotated[float, typer.Option(min=0, max=0.9, help="CSV: add noise, in standard deviations.")] = 0.0,
    clusters: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=1000,
            help="Without classes: give the rows pseudo-labels, by k-means into so many clusters, and train on these. "
            "Images are clustered by features of the unconditional model, which is trained first. 20 to 50 are usual.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="Train and measure for at most so long. Default: for as long as there is to learn."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="The base denoiser of a ControlNet, a few-step student or autoguidance's weak network, or the one "
            "whose features are clustered. Default: the name in --name; for clusters, that of the unconditional model.",
            metavar="NAME",
        ),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option("--from", help="Take the network of this checkpoint, to start from its weights.", metavar="NAME"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite recipes that are there.")] = False,
    recipes: Recipes = OWN_RECIPES,
    checkpoints: Checkpoints = CHECKPOINTS,
) -> None:
    """Survey your own data, propose how to train on them, measure how long that takes, and write recipes/NAME.toml."""
    chosen = InitOptions(
        roles=role or (),
        size=None if size is None else sides(size),
        channels=None if grey is None else 1 if grey else 3,
        fit=fit,
        labels=labels,
        group=group,
        unlabelled=unlabelled,
        label=label,
        without=without or (),
        categories=category or (),
        flip=flip,
        shift=shift,
        colour=colour,
        jitter=jitter,
        minutes=minutes,
        clusters=clusters,
        base=base,
        start_from=None if start_from is None else find_checkpoint(start_from, checkpoints),
    )
    written = write_recipes(
        path,
        name,
        chosen,
        recipes=recipes,
        checkpoints=checkpoints,
        force=force,
        say=typer.echo,
    )
    given = {
        "--from": start_from,
        "--recipes": None if recipes == OWN_RECIPES else recipes,
        "--checkpoints": None if checkpoints == CHECKPOINTS else checkpoints,
    }
    options = "".join(f" {option} {shlex.quote(str(value))}" for option, value in given.items() if value is not None)
    for recipe in written:
        typer.echo(f"now: python -m training train {recipe.stem}{options}")
