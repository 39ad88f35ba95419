"""Options that several commands of `python -m training` share."""

from pathlib import Path
from typing import Annotated

import typer

from model.compilation import CompilerMissing, need_compiler
from model.samplers import SAMPLERS

CHECKPOINTS = Path("checkpoints")  # in the working directory
Checkpoints = Annotated[Path, typer.Option(help="Folder of the checkpoints.")]
Recipes = Annotated[Path, typer.Option(help="Folder of your own recipes.")]


def _can_compile(wanted: bool) -> bool:
    """Raises BadParameter if there is no compiler."""
    try:
        if wanted:
            need_compiler()
    except CompilerMissing as error:
        raise typer.BadParameter(str(error)) from error
    return wanted


def known_sampler(name: str | None) -> str | None:
    """Raises BadParameter if there is no such sampler."""
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
