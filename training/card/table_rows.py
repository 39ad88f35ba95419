"""Rows of a card's table that several roles have: the sampling that it recommends, its training, its text encoder."""

from collections.abc import Mapping
from typing import Any

from model.checkpoints.config import SamplingConfig, SamplingOverrides
from model.samplers import SAMPLERS
from model.text_encoder import TextConfig
from training.card.markdown import listed
from training.recipe import KEPT_AT


def described_sampler(sampling: SamplingConfig) -> str:
    variances = {"learned": "the learned variance", "fixed-small": "the variance β̃", "fixed-large": "the variance β"}
    variance = f" with {variances[sampling.variance]}" if SAMPLERS[sampling.sampler].takes("variance") else ""
    return sampling.sampler + variance


def described_overrides(overrides: SamplingOverrides, scale_of: str = "") -> str:
    parts = [f"guidance scale {overrides.guidance_scale:g}{scale_of}"]
    parts += [f"the sampler {overrides.sampler}"] if overrides.sampler else []
    parts += [f"{overrides.steps} steps"] if overrides.steps else []
    return ", ".join(parts) + described_interval(overrides)


def described_interval(sampling: SamplingConfig | SamplingOverrides) -> str:
    if sampling.guidance_interval is None:
        return ""
    low, high = sampling.guidance_interval
    return f" at noise levels {low:g} … {high:g}"


def training_row(name: str, recipe: Mapping[str, Any]) -> str:
    """The row of the training's length."""
    options, started = recipe.get("optimisation", {}), recipe.get("started_from")
    whole = options.get("steps", 0)
    steps = recipe.get(KEPT_AT, whole)
    rows = steps * options.get("batch_size", 0)
    weights = "earlier weights of its own" if started == name else f"the weights of {started}"
    start = f", from {weights}" if started else ""
    of_all = f" of {whole:,}" if KEPT_AT in recipe else ""
    return f"| trained on | {steps:,}{of_all} steps, {rows:,} rows per process{start}; averaged weights |"


def text_encoder_rows(text: TextConfig) -> list[str]:
    return [
        f"| text encoder | transformer, {text.layers} layers, {text.width} wide; vectors of {text.outputs} numbers |",
        f"| words | {listed(text.vocabulary.words)} |",
    ]
