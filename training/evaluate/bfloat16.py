"""Does a checkpoint lose anything in bfloat16? Its figures against those that were measured in float32."""

import math

from model.checkpoints.config import SamplingConfig
from training.evaluate.measurement import Metrics, settings_of
from training.recipe import RecipeError

# Nothing is lost where shares that are right differ by less than two standard errors, and Fréchet distances by less
# than this share of float32's.
FRECHET_TOLERANCE = 0.1


def check_comparable(options: SamplingConfig, samples: int, seed: int, reference: Metrics | None) -> None:
    """Raises RecipeError where float32 was not measured at these settings, before anything is sampled."""
    wanted = {"samples": samples, "seed": seed} | settings_of(options, None)
    if reference is None or not wanted.items() <= reference.items():
        raise RecipeError("bfloat16 is compared with float32 at the same settings: evaluate without --precision first")
    if "judge" not in reference:
        raise RecipeError(
            "bfloat16 is compared with float32 by what a judge reads, and there was none: train one first"
        )


def as_good(metrics: Metrics, reference: Metrics) -> bool:
    """Does bfloat16, by its figures, lose nothing against the reference in float32? Not where none can be compared."""
    n, both = reference["samples"], metrics.keys() & reference.keys()
    good = []
    for share in both & {"label_accuracy", "digit", "thickness", "slant"}:
        p = reference[share]
        error = math.sqrt(2 * max(p * (1 - p), 1 / n) / n)
        good.append(p - metrics[share] <= 2 * error)
    if "frechet" in both:
        good.append(metrics["frechet"] <= (1 + FRECHET_TOLERANCE) * reference["frechet"])
    return bool(good) and all(good)
