"""Sampler, steps, eta and variance: a request's own before what the cards advise."""

from dataclasses import dataclass

from model.plan import Sampler, Variance
from service.requests.choice import Choice


@dataclass(frozen=True)
class SamplingOptions:
    """An option that does not apply to the sampler is None."""

    sampler: Sampler
    steps: int
    eta: float | None
    variance: Variance | None


def sampling_options(choice: Choice) -> SamplingOptions:
    """Every default filled in; `refuse` says whether the model can do it."""
    request, advised = choice.request, choice.advised
    sampler = request.sampler or advised.sampler
    eta, variance = request.eta, request.variance
    if sampler == "ddim" and eta is None:
        eta = advised.eta
    if sampler == "ddpm" and variance is None:
        variance = advised.variance
    return SamplingOptions(sampler, advised.steps if request.steps is None else request.steps, eta, variance)
