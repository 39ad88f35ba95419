"""Are a denoiser's samples good enough to use? Its metrics against thresholds, for the first line of its card."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Criterion:
    """A metric and its thresholds.

    usable  the worst value of samples that can be used
    noise   the value beyond which samples are noise, or all alike
    """

    metric: str
    name: str
    usable: float
    noise: float

    @property
    def larger_is_better(self) -> bool:
        return self.usable > self.noise

    def meets(self, value: float, threshold: float) -> bool:
        """Is the value as good as the threshold?"""
        return value >= threshold if self.larger_is_better else value <= threshold

    def described(self, value: float) -> str:
        return f"{self.name} {value:.3g} ({'at least' if self.larger_is_better else 'at most'} {self.usable:g})"


CRITERIA = (
    Criterion("frechet_ratio", "Fréchet ratio", 20, 50),
    Criterion("precision", "precision", 0.6, 0.3),
    Criterion("recall", "recall", 0.5, 0.2),
    Criterion("among real", "share among real images", 0.6, 0.3),
    Criterion("sliced_wasserstein_ratio", "sliced Wasserstein ratio", 3, 10),
    Criterion("two_sample_accuracy", "two-sample accuracy", 0.75, 0.95),
)
"""Conventions, no laws: the shipped checkpoints are within them."""


TRUSTED = 0.9  # share of real images that a judge has to read right, to tell which class samples have
NOISE_HAS_CLASSES = "noise too is given a class"


def first_line(metrics: Mapping[str, object]) -> str:
    """The first line of a card with these metrics; there may be none."""
    unknown = "Whether its samples are usable has not been measured"
    alone = f": label accuracy alone does not tell, for {NOISE_HAS_CLASSES}" if "label_accuracy" in metrics else ""
    return usability(metrics) or f"{unknown}{alone}."


def usability(metrics: Mapping[str, object]) -> str | None:
    """Whether samples with these metrics can be used, in Markdown; None if no metric tells."""
    found = [
        (criterion, float(value))
        for criterion in CRITERIA
        if isinstance(value := metrics.get(criterion.metric), int | float) and math.isfinite(value)
    ]
    if not found:
        return None
    listed = ", ".join(criterion.described(value) for criterion, value in found)
    if all(criterion.meets(value, criterion.usable) for criterion, value in found):
        return f"**Usable**: {listed}.{_doubt(metrics)}"
    if all(criterion.meets(value, criterion.noise) for criterion, value in found):
        return f"**Rough**: samples differ visibly from real data: {listed}."
    warning = f" Label accuracy tells nothing here: {NOISE_HAS_CLASSES}." if "label_accuracy" in metrics else ""
    return f"**Not usable**: samples are noise, or all alike: {listed}.{warning}"


def _doubt(metrics: Mapping[str, object]) -> str:
    """Of a judge that misreads many real images."""
    read = metrics.get("label_accuracy_of_real")
    if not isinstance(read, int | float) or read >= TRUSTED:
        return ""
    return f" The judge reads only {read:.0%} of the held-out images right, so label accuracy says little."
