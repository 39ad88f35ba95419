"""Sampler, steps, eta and variance: a request's own before what the cards advise."""

from dataclasses import dataclass

from model.sampler_spec import Variance
from model.samplers import SAMPLERS
from service.requests.model_choice import Choice

INVERTIBLE = "dpmpp-2m"  # in place of an advised sampler that draws noise, where a picture is inverted


@dataclass(frozen=True)
class SamplingOptions:
    """An option that does not apply to the sampler is None."""

    sampler: str
    steps: int
    eta: float | None
    variance: Variance | None


def sampling_options(choice: Choice) -> SamplingOptions:
    """Every default filled in; `refuse` says whether the model can do it."""
    request, advised = choice.request, choice.advised
    sampler = request.sampler or advised.sampler
    if request.sampler is None and request.asks_inversion and SAMPLERS[sampler].stochastic:
        sampler = INVERTIBLE
    eta, variance = request.eta, request.variance
    if SAMPLERS[sampler].takes("eta") and eta is None:
        eta = 0.0 if request.asks_inversion else advised.eta
    if SAMPLERS[sampler].takes("variance") and variance is None:
        variance = advised.variance
    steps = advised.steps if choice.steps is None else choice.steps
    return SamplingOptions(sampler, steps if request.steps is None else request.steps, eta, variance)
