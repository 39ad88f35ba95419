"""Options that several commands of `python -m training` share."""

import re
from pathlib import Path
from typing import Annotated

import typer

from model.compilation import CompilerMissing, need_compiler
from model.samplers import SAMPLERS
from training.recipe import RecipeError

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


def sides(size: str) -> tuple[int, int]:
    """(height, width) of --size: pixels a side, or HEIGHTxWIDTH. Raises RecipeError."""
    if (found := re.fullmatch(r"(\d{1,6})(?:[x×](\d{1,6}))?", size.lower())) is None:
        raise RecipeError(f"--size {size!r}: give pixels a side (32), or height x width (32x48)")
    return int(found[1]), int(found[2] or found[1])


Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        callback=_can_compile,
        help="Compile the networks of images: a third faster, for thousands of samples; needs a C++ compiler.",
    ),
]
