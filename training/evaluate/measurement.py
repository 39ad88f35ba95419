"""The form of every measurement: metrics and the settings they were measured at, as plain JSON."""

from collections.abc import Mapping

from model.checkpoints.config import SamplingConfig
from model.samplers import SAMPLERS
from training.evaluate.sampling_run import SamplingRun
from training.generate import Guidance

Metrics = dict[str, float | int | str | bool]
"""Settings, and the metrics that were measured at them, by name."""


def settings_of(options: SamplingConfig, guidance: Guidance | None) -> Metrics:
    """The sampling settings that shape a sample; with guidance, its scale and the guidance model's name."""
    fields = {"sampler", "steps", "guidance_scale"}
    spec = SAMPLERS[options.sampler]
    fields |= {"variance"} if spec.takes("variance") else set()
    fields |= {"eta"} if spec.takes("eta") and options.eta > 0 else set()
    settings: Metrics = options.model_dump(mode="json", include=fields)
    if guidance is None and options.guidance_interval is not None:
        low, high = options.guidance_interval
        settings["guidance_interval"] = f"{low:g} … {high:g}"
    if guidance is not None:
        settings |= {"guidance_scale": guidance.scale, "guidance_model": guidance.guidance_model.name}
    return settings


def computed(run: SamplingRun) -> Metrics:
    """The precision, and whether the networks were compiled: either changes the last bits."""
    metrics: Metrics = {"computed_in": run.precision}
    return metrics | {"compiled": True} if run.compile else metrics


def number(metrics: Mapping[str, object], name: str) -> float:
    """A metric that is a number. Raises KeyError if it is missing, TypeError if it is none."""
    value = metrics[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r}, not a number")
    return value


def rounded(value: float) -> float:
    """To five significant digits: more would be noise in a diff."""
    return float(f"{value:.5g}")
