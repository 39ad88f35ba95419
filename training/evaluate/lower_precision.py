"""Does a checkpoint lose quality in bfloat16 or int8? Its metrics against those measured in float32."""

import math
from collections.abc import Mapping

from model.checkpoints.base import Precision
from model.checkpoints.config import SamplingConfig
from training.evaluate.measurement import Metrics, number, settings_of
from training.metrics.image_reference import same_judge
from training.recipe import RecipeError

# Nothing is lost if shares of correct samples differ by at most two standard errors, and Fréchet distances by at most
# this share of float32's.
FRECHET_TOLERANCE = 0.1


def check_comparable(
    precision: Precision,
    options: SamplingConfig,
    samples: int,
    seed: int,
    judged_by: Mapping[str, object],
    reference: Metrics | None,
) -> None:
    """Raises RecipeError if float32 was not measured at these settings by this judge, before any sample is made.

    judged_by  entries of the metrics that tell of the judge
    reference  the metrics in float32, if there are any
    """
    wanted = {"samples": samples, "seed": seed} | settings_of(options, None)
    if reference is None or not wanted.items() <= reference.items():
        raise RecipeError(
            f"{precision} is compared with float32 at the same settings: evaluate without --precision first"
        )
    if "judge" not in reference:
        raise RecipeError(
            f"{precision} is compared with float32 by a judge; float32 was measured without one: train a judge first"
        )
    if not same_judge(judged_by, reference):
        raise RecipeError(
            f"{precision} is compared with float32 by one judge, and float32 was measured by another: evaluate without "
            f"--precision first"
        )


def as_good(metrics: Metrics, reference: Metrics) -> bool:
    """Is it as good as the reference in float32, by every metric that both have? False if they share none."""
    n, both = number(reference, "samples"), metrics.keys() & reference.keys()
    good = []
    for share in both & {"label_accuracy", "digit", "thickness", "slant"}:
        p = number(reference, share)
        error = math.sqrt(2 * max(p * (1 - p), 1 / n) / n)
        good.append(p - number(metrics, share) <= 2 * error)
    if "frechet" in both:
        good.append(number(metrics, "frechet") <= (1 + FRECHET_TOLERANCE) * number(reference, "frechet"))
    return bool(good) and all(good)
