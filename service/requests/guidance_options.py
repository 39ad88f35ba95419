"""How a request's samples are guided: a request's own options before what the cards advise."""

from dataclasses import dataclass

from torch import Tensor

from model.conditions import NO_LABEL, Conditions
from service.checkpoints.catalog import Catalog
from service.requests.model_choice import GRADIENT_GUIDANCE, Choice
from service.requests.schemas import GuidanceMethod


@dataclass(frozen=True)
class GuidanceOptions:
    """An option that does not apply to the guidance is None. The names are the answer's."""

    guidance: GuidanceMethod
    guidance_scale: float | None
    guidance_interval: tuple[float, float] | None = None


def guidance_options(choice: Choice) -> GuidanceOptions:
    """Every default filled in. A request that names a scale without an interval has that scale at every noise level:
    the card's interval belongs to the card's scale, and outside it a scale of 0 would not ignore the label."""
    if choice.guidance == "none":
        return GuidanceOptions("none", None)
    request, advised = choice.request, choice.advised
    scale = advised.guidance_scale if request.guidance_scale is None else request.guidance_scale
    if choice.guidance != "classifier-free":
        return GuidanceOptions(choice.guidance, scale)
    interval = advised.guidance_interval if request.guidance_scale is None else None
    if request.guidance_interval is not None:
        low, high = request.guidance_interval
        interval = low, high
    return GuidanceOptions(choice.guidance, scale, interval)


def conditions(
    options: GuidanceOptions, rows: int, *, label: Tensor | int = NO_LABEL, text: Tensor | None = None
) -> Conditions:
    """Rows that are guided so. Without guidance, beside a gradient and autoguided they are plain conditional."""
    scale = options.guidance_scale or 0.0
    if options.guidance == "classifier-free":
        interval = options.guidance_interval
        return Conditions.alike(rows, label=label, text=text, guidance_scale=scale, guidance_interval=interval)
    if options.guidance == "auto":
        return Conditions.alike(rows, label=label, text=text, guidance_scale=1.0, autoguidance_scale=scale)
    return Conditions.alike(rows, label=label, text=text, guidance_scale=1.0, gradient_scale=scale)


def guidances(catalog: Catalog, dataset: str) -> list[GuidanceMethod]:
    """The guidance that the dataset's models offer."""
    served = catalog.datasets[dataset]
    configs = [one.checkpoint.config for one in served]
    conditional = any(config.conditioning is not None and not config.needs_label for config in configs)
    own: list[GuidanceMethod] = ["none", "classifier-free"] if conditional else ["none"]
    by_gradient = (
        name for kind, name in GRADIENT_GUIDANCE.items() if any(kind in one.guidance_models for one in served)
    )
    auto: list[GuidanceMethod] = ["auto"] if any(one.weak is not None for one in served) else []
    return [*own, *by_gradient, *auto]
