"""Does a checkpoint lose anything in bfloat16? Its figures against those that were measured in float32."""

import math

from model.checkpoint import SamplingConfig
from training.evaluate.figures import Figures
from training.recipe import RecipeError

# Nothing is lost where shares that are right differ by less than two standard errors, and Fréchet distances by less
# than this share of float32's.
FRECHET_TOLERANCE = 0.1


def check_comparable(options: SamplingConfig, samples: int, seed: int, reference: Figures | None) -> None:
    """Raises RecipeError where float32 was not measured at these settings, before anything is sampled."""
    wanted = {"samples": samples, "seed": seed} | options.model_dump(include={"sampler", "steps", "guidance_scale"})
    if reference is None or any(reference.get(key) != value for key, value in wanted.items()):
        raise RecipeError("bfloat16 is compared with float32 at the same settings: evaluate without --precision first")
    if "judge" not in reference:
        raise RecipeError(
            "bfloat16 is compared with float32 by what a judge reads, and there was none: train one first"
        )


def as_good(figures: Figures, reference: Figures) -> bool:
    """Does bfloat16, by its figures, lose nothing against the reference in float32?"""
    n = reference["samples"]
    for share in ("label_accuracy", "digit", "thickness", "slant"):
        p = reference.get(share, 1.0)
        error = math.sqrt(2 * max(p * (1 - p), 1 / n) / n)
        if share in figures and p - figures[share] > 2 * error:
            return False
    return "frechet" not in figures or figures["frechet"] <= (1 + FRECHET_TOLERANCE) * reference["frechet"]
