"""The ways in which each dataset may be asked: `resolve` itself is asked about every one, so that nothing disagrees."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from model.conditions import CONTROL_KINDS, HINT_KINDS, ControlKind, HintKind
from service.checkpoints.catalog import Catalog
from service.engine.served_model import Served
from service.http.problems import Problem
from service.requests.control_image import Hint
from service.requests.edit_schemas import InitRequest, MaskRequest, VariationsRequest
from service.requests.given_columns import given_example
from service.requests.model_choice import choose
from service.requests.quality import Quality
from service.requests.resolve import Resolved, resolve
from service.requests.schemas import ControlRequest, GuidanceMethod, SampleRequest

Asks = Literal["nothing", "label", "prompt"]
Edit = Literal["init", "inversion", "mask", "given", "seed_to", "variations_of"]
GUIDANCE: tuple[GuidanceMethod, ...] = ("classifier-free", "classifier", "clip", "none", "auto")


@dataclass(frozen=True, eq=False)
class Way:
    """What a request conditions its samples on, what it may begin from, and how one sample of it is resolved.

    hint      "inpainting" where the samples follow what a mask keeps
    edits     of such a way only "mask"
    resample  how often each step is taken where a mask keeps a part and the request does not say it; None where no mask
              may be given
    """

    asks: Asks
    hint: HintKind | None
    resolved: Resolved
    edits: tuple[Edit, ...]
    resample: int | None

    @property
    def named(self) -> dict[str, str]:
        """The fields that pin this way."""
        return {"guidance": self.resolved.guidance.guidance, "model": self.resolved.choice.name}


@dataclass(frozen=True, eq=False)
class QualityWay:
    """What `quality` means beside a label, a prompt or nothing, and beside a hint."""

    asks: Asks
    hint: ControlKind | None
    quality: Quality
    resolved: Resolved


@dataclass(frozen=True, eq=False)
class Ways:
    """How a dataset may be asked.

    ways       of those with the same `asks` and `hint`, the first is the answer to a request that names neither
               guidance nor model; the first with some guidance is the answer to one that names this guidance alone
    qualities  empty where no model has a few-step student
    """

    ways: tuple[Way, ...]
    qualities: tuple[QualityWay, ...]


def ways_of(catalog: Catalog) -> Mapping[str, Ways]:
    """By dataset."""
    return {name: Ways(tuple(_ways(catalog, name)), tuple(_qualities(catalog, name))) for name in catalog.datasets}


def _qualities(catalog: Catalog, dataset: str) -> Iterator[QualityWay]:
    """Nothing where no few-step student answers: every quality is the same there."""
    students = [served for served in catalog.datasets[dataset] if served.checkpoint.config.distilled is not None]
    if not students:
        return
    for hint in (None, *_controls(students)):
        for asks in get_args(Asks):
            for quality in get_args(Quality):
                resolved = _resolved(catalog, _fields(catalog, dataset, asks, {"quality": quality, **_hinted(hint)}))
                if resolved is not None:
                    yield QualityWay(asks, hint, quality, _with_blank(hint, resolved))


def _controls(served: Sequence[Served]) -> list[ControlKind]:
    """The kinds of picture that any of them follows."""
    return [kind for kind in CONTROL_KINDS if any(kind in one.controls for one in served)]


def _hints(served: Sequence[Served]) -> list[HintKind]:
    """The same, and what a mask keeps."""
    return [kind for kind in HINT_KINDS if any(kind in one.controls for one in served)]


def _ways(catalog: Catalog, dataset: str) -> Iterator[Way]:
    models = [served.name for served in catalog.datasets[dataset]]
    pins: list[dict[str, str]] = [{}]
    pins += ({"guidance": guidance} for guidance in GUIDANCE)
    pins += ({"guidance": guidance, "model": model} for guidance in GUIDANCE for model in models)
    pins.sort(key=lambda pin: pin.get("guidance") == "auto")  # it is the answer only where it is named
    for hint in (None, *_hints(catalog.datasets[dataset])):
        for asks in get_args(Asks):
            found = set()
            for pin in pins:
                way = _way(catalog, dataset, asks, hint, pin)
                if way is not None and (key := tuple(way.named.values())) not in found:
                    found.add(key)
                    yield way


def _way(catalog: Catalog, dataset: str, asks: Asks, hint: HintKind | None, pin: dict[str, str]) -> Way | None:
    """None where a request is refused that asks so, or is answered by a model that does not follow the hint."""
    fields = _fields(catalog, dataset, asks, {**pin, **_hinted(hint)})
    resolved = _resolved(catalog, fields)
    if resolved is None or resolved.choice.hint != hint:
        return None
    begun: dict[Edit, Resolved] = {"mask": resolved} if hint == "inpainting" else _begun(catalog, fields, resolved)
    resample = begun["mask"].edit.resample if "mask" in begun else None
    return Way(asks, hint, _with_blank(hint, resolved), tuple(begun), resample)


def _with_blank(hint: HintKind | None, resolved: Resolved) -> Resolved:
    """With a blank picture for a hint: it costs as much as any other."""
    if hint is None:
        return resolved
    _, height, width = resolved.choice.config.data.shape
    return resolved.with_hint(Hint(hint, torch.zeros(1, height, width), resolved.choice.control_scale))


def _hinted(hint: HintKind | None) -> dict[str, Any]:
    """The fields that give the hint. `resolve` looks at no pixels."""
    if hint == "inpainting":
        return {"init": InitRequest(image="-"), "mask": MaskRequest(image="-")}
    return {} if hint is None else {"control": ControlRequest(kind=hint, image="-")}


def _fields(catalog: Catalog, dataset: str, asks: Asks, more: Mapping[str, Any]) -> dict[str, Any]:
    """Of a request for one sample that asks so."""
    fields: dict[str, Any] = {"dataset": dataset, "n": 1, "seed": 0, **more}
    if asks == "label":
        fields["label"] = 0
    if asks == "prompt":
        text = choose(catalog, SampleRequest(**fields, prompt="-")).served.text
        fields["prompt"] = "-" if text is None else text.config.vocabulary.words[0]
    return fields


def _resolved(catalog: Catalog, fields: Mapping[str, Any]) -> Resolved | None:
    """None where the request is refused."""
    try:
        return resolve(catalog, SampleRequest(**fields))
    except Problem:
        return None


def _begun(catalog: Catalog, fields: dict[str, Any], resolved: Resolved) -> dict[Edit, Resolved]:
    """What a request of that way, with a sampler that suits the edit, may begin from, and how it is resolved then."""
    data, init = resolved.choice.config.data, InitRequest(image="-")
    shown = 0 if resolved.choice.config.needs_label else None  # by the picture
    more: Mapping[Edit, dict[str, Any]] = {
        "init": {"init": init},
        "inversion": {"init": InitRequest(image="-", method="inversion", label=shown), "sampler": "dpmpp-2m"},
        "mask": {"init": init, "mask": MaskRequest(image="-")},
        "given": {"given": given_example(data)},
        "seed_to": {"seed_to": 1},
        "variations_of": {"variations_of": VariationsRequest(seed=1, amount=0.5)},
    }
    model = {"model": resolved.choice.name}
    begun = {edit: _resolved(catalog, fields | model | fields_of) for edit, fields_of in more.items()}
    return {edit: one for edit, one in begun.items() if one is not None}
