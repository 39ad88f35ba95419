"""What a card loses when other settings are advised, or another judge has measured: columns that say nothing of it."""

from typing import get_args

from model.checkpoints.base import Precision
from model.checkpoints.config import MEASURED
from model.checkpoints.denoiser import DenoiserConfig
from training.evaluate.measurement import settings_of
from training.metrics.image_reference import same_judge

ADVISED = "as advised"  # the column of a denoiser of points in as many steps as its card advises
OF_ADVICE = (ADVISED, *get_args(Precision))  # columns that are of the settings as advised; float32's is MEASURED


def without_stale(config: DenoiserConfig) -> DenoiserConfig:
    """The config without the columns OF_ADVICE of other settings than it advises, or of another judge than float32's.

    A precision goes with its column: that it loses nothing was measured elsewhere.
    """
    advised, known = settings_of(config.sampling, None), config.metrics
    stale = [
        column
        for column in known.keys() & {*OF_ADVICE}
        if not advised.items() <= known[column].items() or not same_judge(known[column], known.get(MEASURED, {}))
    ]
    return config.model_copy(
        update={
            "metrics": {column: metrics for column, metrics in known.items() if column not in stale},
            "precisions": tuple(precision for precision in config.precisions if precision not in stale),
        }
    )
