"""What every measurement writes down: JSON-plain figures, with the settings that they were taken at."""

from typing import Any

from model.checkpoints.config import SamplingConfig
from model.samplers import SAMPLERS
from training.evaluate.sampling_run import SamplingRun
from training.generate import Guidance

Metrics = dict[str, Any]
"""Settings, and what was measured at them."""


def settings_of(options: SamplingConfig, guidance: Guidance | None) -> dict[str, Any]:
    fields = {"sampler", "steps", "guidance_scale"}
    spec = SAMPLERS[options.sampler]
    fields |= {"variance"} if spec.takes("variance") else set()
    fields |= {"eta"} if spec.takes("eta") and options.eta > 0 else set()
    settings = options.model_dump(mode="json", include=fields)
    if guidance is not None:
        settings |= {"guidance_scale": guidance.scale, "guide": guidance.guidance_model.name}
    return settings


def computed(how: SamplingRun) -> Metrics:
    """In which precision, and by compiled kernels if so: either changes the last bits."""
    return {"computed_in": how.precision} | ({"compiled": True} if how.compile else {})


def rounded(value: float) -> float:
    """Five digits that count: more would be noise in a diff."""
    return float(f"{value:.5g}")
