"""What every measurement writes down: JSON-plain figures, with the settings that they were taken at."""

from typing import Any

from model.checkpoints.denoiser import SamplingConfig
from training.evaluate.sampling_run import Drawing
from training.generate import Steering

Figures = dict[str, Any]
"""Settings, and what was measured at them."""


def settings_of(options: SamplingConfig, steering: Steering | None) -> dict[str, Any]:
    fields = {"sampler", "steps", "guidance_scale"}
    fields |= {"variance"} if options.sampler == "ddpm" else {"eta"} if options.eta > 0 else set()
    settings = options.model_dump(mode="json", include=fields)
    if steering is not None:
        settings |= {"guidance_scale": steering.scale, "guide": steering.guide.name}
    return settings


def computed(how: Drawing) -> Figures:
    """In which precision, and by compiled kernels if so: either changes the last bits."""
    return {"computed_in": how.precision} | ({"compiled": True} if how.compile else {})


def rounded(value: float) -> float:
    """Five digits that count: more would be noise in a diff."""
    return float(f"{value:.5g}")
