"""How a request's samples are guided: a request's own options before what the cards advise."""

from dataclasses import dataclass

from torch import Tensor

from model.conditions import NO_LABEL, Conditions
from service.requests.choice import Choice
from service.requests.schemas import GuidanceMethod


@dataclass(frozen=True)
class GuidanceOptions:
    """An option that does not apply to the guidance is None. The names are the answer's."""

    guidance: GuidanceMethod
    guidance_scale: float | None


def guidance_options(choice: Choice) -> GuidanceOptions:
    """Every default filled in."""
    if choice.guidance == "none":
        return GuidanceOptions("none", None)
    scale = choice.request.guidance_scale
    return GuidanceOptions(choice.guidance, choice.advised.guidance_scale if scale is None else scale)


def conditions(
    options: GuidanceOptions, rows: int, *, label: Tensor | int = NO_LABEL, text: Tensor | None = None
) -> Conditions:
    """Rows that are guided so. Without guidance, and beside a gradient, they are plain conditional."""
    scale = options.guidance_scale or 0.0
    if options.guidance == "classifier-free":
        return Conditions.alike(rows, label=label, text=text, guidance_scale=scale)
    return Conditions.alike(rows, label=label, text=text, guidance_scale=1.0, gradient_scale=scale)
