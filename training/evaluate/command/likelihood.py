"""Measure the likelihood of data under a denoiser, over a respaced chain and over the full one."""

from pathlib import Path

from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.weights import CheckpointError
from training.card import card, pictures
from training.evaluate.command.card_update import CardUpdate
from training.evaluate.command.options import announce, check_precision
from training.evaluate.likelihood import measure_likelihood
from training.evaluate.measurement import Metrics
from training.evaluate.sampling_run import SamplingRun
from training.recipe import RecipeError

RESPACED = 50  # steps
LIKELIHOOD_ROWS = 10_000  # over the respaced chain
FULL_CHAIN_ROWS = 1_000  # over the chain of all T steps


def evaluate_likelihood(folder: Path, run: SamplingRun, *, samples: int | None = None) -> dict[str, Metrics]:
    """Bits per dimension over a respaced and over the full chain, by the column of the card.

    Each chain goes into config.json and the card as soon as it is measured, except with `samples` and in bfloat16.

    Raises RecipeError if there is no such checkpoint, or its data are not measured in this precision.
    """
    try:
        checkpoint = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    update, T = CardUpdate(folder, checkpoint.config), checkpoint.schedule.T
    check_precision(checkpoint.config, run.precision)
    chains = {min(RESPACED, T): LIKELIHOOD_ROWS} | ({T: FULL_CHAIN_ROWS} if T > RESPACED else {})
    found = {}
    columns: dict[str, Metrics] = {}
    for steps, rows in chains.items():
        count = min(rows, samples or rows)
        announce(checkpoint.config.name, f"bits of {count:,} rows over {steps} steps")
        found[steps] = measure_likelihood(checkpoint, steps, run, rows=count)
        columns[f"likelihood, {steps} steps"] = found[steps].metrics
        if samples is None and run.precision == "float32":
            config = update.write(columns)
            if len(found) == len(chains):
                pictures.save_likelihood_picture(folder, config, found)
            card.write_denoiser_card(folder, update.now())
    return columns
