"""What other services and libraries call the fields of a request → what they are called here."""

from collections.abc import Callable, Collection
from difflib import get_close_matches

from service.requests.schemas import NESTED, SampleQuery, SampleRequest
from service.requests.score_grid import ScoreQuery

SAME_FIELD = {
    "class": "label", "class_id": "label", "class_label": "label", "class_labels": "label", "classes": "label",
    "digit": "label", "labels": "label", "y": "label",
    "caption": "prompt", "text": "prompt",
    "cfg": "guidance_scale", "cfg_scale": "guidance_scale", "guidance_strength": "guidance_scale",
    "ddim_steps": "steps", "num_inference_steps": "steps", "num_steps": "steps", "sampling_steps": "steps",
    "method": "sampler", "sampler_index": "sampler", "sampler_name": "sampler", "scheduler": "sampler",
    "solver": "sampler",
    "ddim_eta": "eta",
    "batch_size": "n", "count": "n", "num_images": "n", "num_images_per_prompt": "n", "num_samples": "n",
    "random_seed": "seed",
    "checkpoint": "model", "model_id": "model", "model_name": "model",
    "control_image": "control", "controlnet": "control", "hint": "control",
    "control_scale": "control.scale", "controlnet_conditioning_scale": "control.scale",
    "control.conditioning_scale": "control.scale", "control.strength": "control.scale",
    "image": "init", "init_image": "init", "input_image": "init", "denoising_strength": "init.strength",
    "strength": "init.strength", "init.denoising_strength": "init.strength", "mask_image": "mask",
    "init.mask": "mask", "condition": "given", "conditions": "given", "slerp": "mix", "interpolation": "mix",
    "subseed": "variations_of", "subseed_strength": "variations_of.amount", "jumps": "resample",
    "control.weight": "control.scale", "control.type": "control.kind", "control.hint": "control.image",
}  # fmt: skip
LONGEST = 40  # characters: a longer name is not compared letter by letter


FIELDS = {
    "body": (
        *SampleRequest.model_fields,
        *(f"{parent}.{name}" for parent, model in NESTED.items() for name in model.model_fields),
    ),
    "query": tuple(SampleQuery.model_fields),
}
"""The fields of a sample request, by where they stand."""


def sample_field_meant(place: str, name: str) -> str | None:
    """`field_meant` of POST /sample's body or GET /sample's query."""
    return field_meant(name, FIELDS.get(place, ()))


def score_field_meant(place: str, name: str) -> str | None:
    """The same of GET /score."""
    return field_meant(name, ScoreQuery.model_fields)


def field_meant_at(path: str) -> Callable[[str, str], str | None]:
    """What of these knows the fields at this path."""
    return score_field_meant if path.endswith("/score") else sample_field_meant


def field_meant(name: str, fields: Collection[str]) -> str | None:
    """The one of `fields` that somebody means who writes `name`, a field that there is not; None where nobody knows.

    name  with its parent's name before it, such as control.strength
    """
    if name in fields:  # it is one elsewhere, and nothing else is meant
        return None
    same = SAME_FIELD.get(name.lower().replace("-", "_"))
    if same is not None:
        return same if same in fields else None
    close = get_close_matches(name.lower(), fields, n=1, cutoff=0.8) if len(name) <= LONGEST else []
    return close[0] if close else None
