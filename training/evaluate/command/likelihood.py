"""Measure the bits of a denoiser, over a respaced chain and over the full one."""

from pathlib import Path

from model.checkpoints.config import save_config
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.weights import CheckpointError
from training.card import card, pictures
from training.evaluate.command.options import announce, check_precision
from training.evaluate.likelihood import measure_likelihood
from training.evaluate.measurement import Metrics
from training.evaluate.sampling_run import SamplingRun
from training.recipe import RecipeError

LIKELIHOOD_ROWS = 10_000  # over a chain of RESPACED steps …
RESPACED = 50
FULL_CHAIN_ROWS = 1_000  # … and over all T


def evaluate_likelihood(folder: Path, how: SamplingRun, *, samples: int | None = None) -> dict[str, Metrics]:
    """Bits per dimension over a respaced and over the full chain; but for a quick look, and where bfloat16 is tried,
    each goes into config.json and the card when it is done.

    Raises RecipeError where there is no such checkpoint, or the precision is not for its data.
    """
    try:
        checkpoint = load_checkpoint(folder)
    except CheckpointError as error:
        raise RecipeError(str(error)) from error
    T = checkpoint.schedule.T
    check_precision(checkpoint.config, how.precision)
    chains = {min(RESPACED, T): LIKELIHOOD_ROWS} | ({T: FULL_CHAIN_ROWS} if T > RESPACED else {})
    found, columns = {}, {}
    for steps, rows in chains.items():
        count = min(rows, samples or rows)
        announce(checkpoint.config.name, f"bits of {count:,} rows over {steps} steps")
        found[steps] = measure_likelihood(checkpoint, steps, how, rows=count)
        columns[f"likelihood, {steps} steps"] = found[steps].metrics
        if samples is None and how.precision == "float32":
            config = checkpoint.config.model_copy(update={"metrics": checkpoint.config.metrics | columns})
            save_config(folder, config)
            if len(found) == len(chains):
                pictures.save_likelihood_picture(folder, config, found)
            card.write_denoiser_card(folder, config)
    return columns
