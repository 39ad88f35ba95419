"""In a denoiser's card: the commands that train and measure it again."""

from collections.abc import Mapping
from typing import Any

from training.recipe import KEPT_AT


def training_commands(name: str, recipe: Mapping[str, Any]) -> list[str]:
    """The lines that say how to train and measure a denoiser again."""
    started = recipe.get("started_from")
    start_from = f" --from {started}" if started else ""
    last_stage = [
        "The recipe describes only the last stage: training continued from earlier weights, which are not kept."
    ]
    if KEPT_AT in recipe:
        whole = recipe.get("name", name)
        return [
            f"`config.json` has the recipe of {whole}, which this was on its way to.",
            f"`python -m training train {whole}{start_from} --keep-every {recipe[KEPT_AT]}` keeps it, and `python -m "
            "training evaluate` measures it, by its folder.",
        ]
    return [
        "`config.json` has the training recipe.",
        *(last_stage if started == name else []),
        f"`python -m training train {name}{start_from}` trains it, `python -m training evaluate {name}` measures it.",
    ]
