"""The requests that two versions of Spirale must answer alike. The list is the same each time."""

import base64
import io
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from PIL import Image, ImageDraw

from model.checkpoints.distilled import STEPS
from model.samplers import SAMPLERS

VARIANCES = ("fixed-small", "fixed-large", "learned")
UNCONDITIONAL = ("mnist-ddpm", "spiral-ddpm", "gaussian-ddpm")  # these have learned a variance
LABELLED = ("mnist-cfg", "spiral-cfg", "gaussian-cfg")
STUDENTS = ("mnist-fast", "spiral-fast", "gaussian-fast")
IN_COLOUR = "cells-cfg"
PROMPTED, PROMPTED_STUDENT = "mnist-text-cfg", "mnist-text-fast"
PROMPTS = ("a thin seven leaning right", "bold 3", "the digit eight, wide and upright")
LARGEST_SEED = 2**63 - 1

JSON, STREAM = "application/json", "text/event-stream"
IMAGE_TYPES = (JSON, "image/png", "application/zip", "application/x-npy")
POINT_TYPES = (JSON, "image/png", "text/csv", "application/x-npy")

Field = str | int | float | bool | list[int] | list[float] | list[str] | Mapping[str, str | float | bool]


@dataclass(frozen=True, eq=False)
class Asked:
    """One request. Without a body it is a GET."""

    group: str
    path: str
    body: Mapping[str, Field] | None = None
    accept: str = JSON

    @property
    def name(self) -> str:
        """What identifies it to a reader. A picture in it is shortened."""
        told = "" if self.body is None else " " + json.dumps(self.body, default=str)
        for image in _images(self.body):
            told = told.replace(image, f"{image[:8]}…")
        return f"{'GET' if self.body is None else 'POST'} {self.path}{told} as {self.accept}"


def every_request() -> list[Asked]:
    """All of them, in order."""
    return [
        *(Asked("samplers", "/sample", body) for body in _samplers()),
        *(Asked("variances", "/sample", body) for body in _variances()),
        *(Asked("eta", "/sample", body) for body in _etas()),
        *(Asked("advised defaults", "/sample", body) for body in _defaults()),
        *(Asked("classifier-free", "/sample", body) for body in _classifier_free()),
        *(Asked("classifier", "/sample", body) for body in _classifier()),
        *(Asked("CLIP", "/sample", body) for body in _clip()),
        *(Asked("prompts", "/sample", body) for body in _prompts()),
        *(Asked("control", "/sample", body) for body in _controls()),
        *(Asked("edits of pictures", "/sample", body) for body in _edits()),
        *(Asked("inpainting", "/sample", body) for body in _inpainting()),
        *(Asked("given dimensions", "/sample", body) for body in _given()),
        *(Asked("variations and walks", "/sample", body) for body in _variations()),
        *(Asked("labels, n and seeds", "/sample", body) for body in _rows()),
        *(Asked("streams", "/sample", body, STREAM) for body in _streams()),
        *_media_types(),
        *(Asked("links", path, accept=accept) for path, accept in _links()),
        *_openai(),
        *(Asked("models", path) for path in _models()),
    ]


def drawing(draw: random.Random, side: int = 56, paper: int = 255, ink: int = 0) -> str:
    """Three strokes on paper of `side` pixels, a PNG in base64. Paper and ink are grey, 0 … 255."""
    picture, buffer = Image.new("L", (side, side), paper), io.BytesIO()
    least, most = side // 7, side * 6 // 7
    corners = [(draw.randrange(least, most), draw.randrange(least, most)) for _ in range(4)]
    ImageDraw.Draw(picture).line(corners, ink, max(1, side // 11))
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _mnist(**fields: Field) -> dict[str, Field]:
    return {"dataset": "mnist", "n": 2, "steps": 6, "seed": 1, **fields}


def _points(dataset: str, **fields: Field) -> dict[str, Field]:
    return {"dataset": dataset, "n": 20, "steps": 8, "seed": 1, **fields}


def _of(model: str, **fields: Field) -> dict[str, Field]:
    dataset = model.split("-")[0]
    fields = {"model": model, **fields}
    return _mnist(**fields) if dataset == "mnist" else _points(dataset, **fields)


def _samplers() -> Iterator[dict[str, Field]]:
    for number, sampler in enumerate(SAMPLERS):
        for model in LABELLED:
            yield _of(model, sampler=sampler, label=1, seed=10 + number)
        yield _of("mnist-ddpm", sampler=sampler, seed=20 + number)
        yield _of("spiral-ddpm", sampler=sampler, seed=20 + number, steps=1)


def _variances() -> Iterator[dict[str, Field]]:
    for number, variance in enumerate(VARIANCES):
        for model in UNCONDITIONAL:
            yield _of(model, sampler="ddpm", variance=variance, seed=30 + number)
        if variance != "learned":
            yield _of("mnist-cfg", sampler="ddpm", variance=variance, label=4, seed=30 + number)


def _etas() -> Iterator[dict[str, Field]]:
    for number, eta in enumerate((0.0, 0.3, 1.0)):
        yield _mnist(sampler="ddim", eta=eta, label=5, seed=40 + number)
        yield _points("spiral", sampler="ddim", eta=eta, seed=40 + number)


def _defaults() -> Iterator[dict[str, Field]]:
    """Each model, each guidance model and each ControlNet with what its card advises."""
    for model in UNCONDITIONAL:
        yield {"dataset": model.split("-")[0], "model": model, "seed": 50}
    for model in LABELLED:
        yield {"dataset": model.split("-")[0], "model": model, "label": 1, "seed": 51}
    yield {"dataset": "mnist", "model": PROMPTED, "prompt": PROMPTS[0], "seed": 52}
    for model in STUDENTS:
        for steps in STEPS:
            yield {"dataset": model.split("-")[0], "model": model, "label": 1, "steps": steps, "seed": 58}
    for steps in STEPS:
        yield {"dataset": "mnist", "model": PROMPTED_STUDENT, "prompt": PROMPTS[1], "steps": steps, "seed": 57}
    yield {"dataset": "red-cells", "model": IN_COLOUR, "label": "target-cell", "seed": 59}
    for dataset in ("mnist", "spiral", "gaussian"):
        yield {"dataset": dataset, "guidance": "classifier", "label": 0, "seed": 53}
    yield {"dataset": "mnist", "prompt": PROMPTS[1], "seed": 54}
    yield {"dataset": "mnist", "guidance": "auto", "seed": 56}
    for kind in ("canny", "sketch"):
        yield {"dataset": "mnist", "control": _control(kind), "seed": 55}
    for quality in ("low", "medium", "high"):
        yield {"dataset": "mnist", "label": 1, "quality": quality, "seed": 49}


def _classifier_free() -> Iterator[dict[str, Field]]:
    for number, scale in enumerate((0.0, 1.0, 2.5)):
        yield _mnist(label=7, guidance_scale=scale, seed=60 + number)
        yield _points("spiral", label=2, guidance="classifier-free", guidance_scale=scale, seed=60 + number)
    yield _mnist(label=7, guidance="none", seed=63)
    yield _points("gaussian", label=1, guidance="none", seed=63)
    yield _points("gaussian", label=0, guidance_scale=3.0, sampler="ddpm", seed=64)
    yield _mnist(label=7, guidance_scale=2.0, guidance_interval=[0.3, 5.0], seed=65)


def _classifier() -> Iterator[dict[str, Field]]:
    for number, scale in enumerate((0.0, 1.0, 4.0)):
        yield _mnist(label=3, guidance="classifier", guidance_scale=scale, seed=70 + number)
        yield _points("spiral", label=1, guidance="classifier", guidance_scale=scale, seed=70 + number)
    yield _mnist(label=[1, 9], guidance="classifier", sampler="ddpm", variance="learned", seed=73)
    yield _mnist(label=6, guidance="classifier", sampler="dpmpp-2m", seed=74)
    yield _points("gaussian", label=1, guidance="classifier", sampler="ddim", eta=0.5, seed=75)
    yield _mnist(model="mnist-cfg", label=2, guidance="classifier", guidance_scale=2.0, seed=76)


def _clip() -> Iterator[dict[str, Field]]:
    for number, prompt in enumerate(PROMPTS):
        yield _mnist(prompt=prompt, guidance="clip", guidance_scale=float(number), seed=80 + number)
    yield _mnist(prompt=PROMPTS[0], guidance="clip", sampler="ddim", seed=83)
    yield _mnist(prompt=PROMPTS[1], guidance="clip", sampler="ddpm", variance="learned", seed=84)


def _prompts() -> Iterator[dict[str, Field]]:
    for number, prompt in enumerate(PROMPTS):
        yield _mnist(prompt=prompt, guidance="classifier-free", guidance_scale=1.5 * number, seed=90 + number)
    yield _mnist(prompt=PROMPTS[0], guidance="none", model=PROMPTED, seed=93)
    yield _mnist(prompt="a bold purple four", guidance="classifier-free", seed=94)
    yield _mnist(model=PROMPTED, sampler="ddpm", seed=95)


def _control(kind: str, **fields: float | bool) -> dict[str, str | float | bool]:
    return {"kind": kind, "image": drawing(random.Random(kind)), **fields}


def _picture(name: str) -> str:
    """As large as the digits, and light on dark as they are."""
    return drawing(random.Random(name), 28, paper=0, ink=255)


def _controls() -> Iterator[dict[str, Field]]:
    for kind in ("canny", "sketch"):
        yield _mnist(control=_control(kind), seed=100)
        yield _mnist(control=_control(kind), guidance="none", seed=101)
        yield _mnist(control=_control(kind, scale=0.5), label=8, seed=102)
        yield _mnist(control=_control(kind), label=[2, 5], guidance_scale=1.0, sampler="ddim", seed=103)
        yield _mnist(control=_control(kind), label=4, guidance="classifier", guidance_scale=2.0, seed=104)
        ready = {"kind": kind, "image": _picture(kind), "preprocess": False}
        yield _mnist(control=ready, label=6, seed=105)
        yield _mnist(model="mnist-cfg", control=_control(kind), label=1, seed=106)
        for steps in STEPS:
            yield _mnist(model="mnist-fast", control=_control(kind), label=1, steps=steps, seed=107)
        yield _mnist(model="mnist-fast", control=_control(kind), steps=2, seed=108)


def _edits() -> Iterator[dict[str, Field]]:
    for number, strength in enumerate((0.0, 0.4, 1.0)):
        yield _mnist(init={"image": _picture("a"), "strength": strength}, label=3, seed=160 + number)
    yield _mnist(init={"image": drawing(random.Random("b"))}, seed=163)  # of another size
    inverted: dict[str, str | float | bool] = {"image": _picture("c"), "method": "inversion"}
    yield _mnist(init=inverted, label=8, seed=164)
    yield _mnist(init=inverted, guidance="none", sampler="ddim", seed=165)
    yield _mnist(init=inverted | {"strength": 0.6, "label": 3}, label=8, seed=166)


def _inpainting() -> Iterator[dict[str, Field]]:
    redrawn: dict[str, Field] = {"init": {"image": _picture("d")}, "mask": {"image": _picture("mask")}}
    for number, model in enumerate(("mnist-cfg", "mnist-ddpm")):  # by a ControlNet, and by RePaint
        yield _mnist(model=model, seed=170 + number, **redrawn)
        yield _mnist(model=model, resample=3, sampler="ddpm", seed=172 + number, **redrawn)
    yield _mnist(label=6, seed=174, **redrawn)
    yield _mnist(label=6, seed=175, **redrawn | {"init": {"image": _picture("d"), "strength": 0.5}})


def _given() -> Iterator[dict[str, Field]]:
    for number, dataset in enumerate(("spiral", "gaussian")):
        yield _points(dataset, given={"x": 0.5}, seed=180 + number)
        yield _points(dataset, given={"y": -0.25}, label=1, resample=4, seed=182 + number)


def _variations() -> Iterator[dict[str, Field]]:
    yield _mnist(variations_of={"seed": 7, "amount": 0.3}, label=2, seed=190)
    yield _points("spiral", variations_of={"seed": 7, "amount": 0.6}, label=2, sampler="ddpm", seed=191)
    yield _mnist(n=5, seed_to=8, label=2, seed=192)
    yield _mnist(n=2, seed_to=8, mix=[0.25, 0.75], sampler="ddpm", seed=193)
    yield _points("gaussian", n=1, seed_to=8, mix=0.5, seed=194)


def _rows() -> Iterator[dict[str, Field]]:
    yield {"dataset": "mnist", "label": list(range(10)), "steps": 4, "seed": 110}
    yield {"dataset": "mnist", "label": ["7", "0", "7"], "steps": 4, "seed": 111}
    yield _mnist(n=1, label="3", seed=112)
    yield _mnist(n=9, steps=4, seed=LARGEST_SEED - 3)  # passes the largest seed
    yield {"dataset": "spiral", "label": [0, 2, 1, 1], "steps": 7, "seed": 113}
    yield _points("gaussian", n=1, label=0, seed=114)
    yield _points("spiral", n=1500, seed=115)


def _streams() -> Iterator[dict[str, Field]]:
    """Previews are of one row: of several, some may be steps ahead, as the clock has it."""
    yield _mnist(n=1, label=3, steps=10, previews=4, seed=120)
    yield _mnist(n=1, label=8, zoom=2, previews=3, sampler="ddpm", seed=121)
    yield _mnist(n=1, prompt=PROMPTS[0], previews=3, seed=122)
    yield _mnist(n=1, prompt=PROMPTS[1], guidance="classifier-free", previews=3, seed=123)
    yield _mnist(n=1, label=5, guidance="classifier", previews=3, seed=124)
    yield _mnist(n=1, control=_control("sketch"), previews=3, seed=125)
    yield _mnist(n=1, label=3, previews=2, noisy_previews=True, seed=129)
    yield _points("spiral", n=1, label=2, steps=12, seed=127)
    yield _points("gaussian", n=1, sampler="ddpm", previews=5, seed=128)
    yield _mnist(model="mnist-ddpm", previews=0, seed=126)
    yield _points("spiral", label=2, previews=0, seed=127)


def _media_types() -> Iterator[Asked]:
    for accept in IMAGE_TYPES:
        yield Asked("images by media type", "/sample", _mnist(n=3, label=[6, 0, 9], seed=130), accept)
    yield Asked("images by media type", "/sample", _mnist(n=5, zoom=3, seed=131), "image/png")
    for accept in POINT_TYPES:
        yield Asked("points by media type", "/sample", _points("spiral", label=1, seed=132), accept)
    yield Asked("points by media type", "/sample", _points("gaussian", seed=133), "text/csv")
    yield Asked("points by media type", "/sample", _points("gaussian", axes=[1, 0], seed=134), "image/png")


def _links() -> Iterator[tuple[str, str]]:
    yield "/sample?dataset=mnist&label=7&seed=3&steps=5&zoom=8", "*/*"
    yield "/sample?dataset=mnist&label=1,2,3&seed=140&steps=5", "image/png"
    yield "/sample?dataset=mnist&prompt=bold+3&seed=141&steps=5", JSON
    yield "/sample?dataset=spiral&n=30&seed=142&steps=5&sampler=ddim&eta=0.5", "*/*"
    yield "/sample?dataset=gaussian&n=30&seed=143&steps=5&axes=1,0", "image/png"
    yield "/sample?dataset=spiral&label=2&n=30&seed=144&steps=5", "text/csv"


def _openai() -> Iterator[Asked]:
    path, group = "/v1/images/generations", "OpenAI's route"
    yield Asked(group, path, {"prompt": PROMPTS[0], "model": PROMPTED, "seed": 150, "steps": 6})
    yield Asked(group, path, {"prompt": PROMPTS[1], "n": 2, "size": "56x56", "seed": 151, "steps": 6})
    yield Asked(group, path, {"prompt": PROMPTS[2], "guidance_scale": 2.0, "seed": 152, "steps": 6})
    yield Asked(group, "/v1/models")


def _models() -> Iterator[str]:
    yield "/models"
    for model in ("spiral-cfg", "spiral-ddpm", "gaussian-cfg", "gaussian-ddpm"):
        yield f"/models/{model}/reference"


def _images(body: Mapping[str, Field] | None) -> Iterator[str]:
    for value in (body or {}).values():
        if isinstance(value, Mapping) and isinstance(value.get("image"), str):
            yield str(value["image"])
