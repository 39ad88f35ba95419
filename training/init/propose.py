"""What to train on somebody's own data: sizes, networks and steps that suit their amount and the device."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

from model.checkpoints.denoiser import DenoiserConfig
from model.data import DataConfig
from model.precision import has_bfloat16
from training.init.choices import SECTION_REASON, Choice, Choices
from training.init.survey import ImageSurvey


class Role(StrEnum):
    """What can be trained."""

    CONDITIONAL = "conditional"
    UNCONDITIONAL = "unconditional"
    CLASSIFIER = "classifier"
    JUDGE = "judge"
    CONTROL_CANNY = "control-canny"
    CONTROL_SKETCH = "control-sketch"
    CLIP = "clip"
    TEXT = "text"


SUFFIXES: Mapping[Role, str] = {
    Role.UNCONDITIONAL: "ddpm",
    Role.CLASSIFIER: "classifier",
    Role.JUDGE: "judge",
    Role.CONTROL_CANNY: "control-canny",
    Role.CONTROL_SKETCH: "control-sketch",
    Role.CLIP: "clip",
    Role.TEXT: "text-cfg",
}
"""What a recipe of that role is called after the data's name. The conditional one has that name alone, and so has the
one that is made where no role is asked for."""

SIZES = (8, 16, 28, 32, 48, 64)  # pixels a side
LARGEST = {"cpu": 32, "cuda": 64}  # that is proposed
COMMON = 0.95  # of the images: where so many are of one small shape, they are taken as they are
FLAT = 40.0  # standard deviation, of 0 … 255: less is stretched
LAST_LEVEL = 8  # pixels a side, at most, where a network's last level attends
ATTENDED = 32**2  # pixels of the last level, at most
PASSES = 500  # over a table
FEW = 2000  # images: for fewer the network is narrower


class UnsupportedRole(ValueError):
    """What these data cannot have; the message names the option, and says what is missing."""


@dataclass(frozen=True)
class DataSummary:
    """What is proposed for: rows to train on, as `data` says they are, on a device.

    taken_from  the checkpoint whose weights training is to begin with
    """

    rows: int
    data: DataConfig
    device: torch.device
    captioned: bool = False
    taken_from: DenoiserConfig | None = None

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"


def choose_size(survey: ImageSurvey, device: torch.device) -> Choice:
    """(height, width): their own where they agree on a small one, else a square about as large as they are."""
    (shape, count), *_ = survey.shapes.most_common(1)
    largest = LARGEST.get(device.type, LARGEST["cpu"])
    if count >= COMMON * len(survey.headers) and max(shape) <= 1.5 * largest and not any(side % 4 for side in shape):
        return Choice(list(shape), "their own")
    sides = sorted(min(shape) for shape in survey.shapes.elements())
    median = sides[len(sides) // 2]
    side = max((size for size in SIZES if size <= min(median, largest)), default=SIZES[0])
    return Choice([side, side], f"shorter sides are {median} pixels in the median; a larger size trains slower")


def standardisation(std: tuple[float, ...]) -> Choice:
    """By the channels' own standard deviations."""
    if max(std) < FLAT:
        return Choice("channels", f"to variance 1: these images are flat, of a deviation of {max(std):.0f} in 0 … 255")
    return Choice("range", "0 … 255 as −1 … 1")


def recipe_for(role: Role, name: str, data: Choices, of: DataSummary, base: str) -> Choices:
    """The recipe of that role; `base` is the name of the denoiser that a ControlNet steers, and of CLIP's data.

    Raises Impossible where the data cannot have it.
    """
    classes, images = of.data.labels, of.data.kind == "images"
    if role in (Role.CONDITIONAL, Role.CLASSIFIER, Role.JUDGE) and not classes:
        wanted = "one folder a class" if images else "a column: --label"
        raise UnsupportedRole(f"--role {role}: there are no classes: {wanted}")
    if role not in (Role.CONDITIONAL, Role.UNCONDITIONAL, Role.CLASSIFIER) and not images:
        raise UnsupportedRole(f"--role {role}: is of images only")
    if role in (Role.CLIP, Role.TEXT) and not of.captioned:
        raise UnsupportedRole(
            f"--role {role}: there are no captions: metadata.jsonl with file_name and text, a line each"
        )
    if of.taken_from is not None and role not in (Role.CONDITIONAL, Role.UNCONDITIONAL):
        raise UnsupportedRole(f"--role {role}: --from is of denoisers")
    denoises = role in (Role.CONDITIONAL, Role.UNCONDITIONAL, Role.TEXT)
    head: Choices = {} if denoises else {"role": Choice(role.split("-")[0])}
    head |= {"name": Choice(name), "description": Choice(_description(role, of.data)), "seed": Choice(0)}
    if role in (Role.CONTROL_CANNY, Role.CONTROL_SKETCH):
        return head | {
            "base": Choice(base, "its data, network and schedule are this one's; train it first"),
            "hint": Choice(role.removeprefix("control-")),
            "label_drop": Choice(0.5, "as often as not, so that the hint alone says enough"),
            "control_scale": Choice(1.0),
            "optimisation": _optimisation(of, share=0.5, rate=1e-3, decay=0.01),
            "sampling": {
                "guidance_scale": Choice(1.0, "of the hint where no label is given; measure, and set what reads best")
            },
        }
    if role == Role.JUDGE:
        few = of.rows < 3 * FEW
        return head | {
            "width": Choice(16 if few else 24, "of the first level; twice and four times that follow"),
            "features": Choice(64 if few else 128, "width of the layer in which Fréchet distances are taken"),
            "data": data,
            "optimisation": _optimisation(of, share=0.5, rate=2e-3, decay=0.02),
        }
    if role in (Role.CLASSIFIER, Role.CLIP):
        scale = Choice(
            2.0 if images else 1.0, "of the gradient; measure with --guidance-model, and set what reads best"
        )
        text: Choices = {"outputs": Choice(64), "width": Choice(64), "layers": Choice(2), "heads": Choice(4)}
        return (
            head
            | {"data": data, "network": _encoder(of)}
            | ({"text": text} if role == Role.CLIP else {})
            | {"schedule": _schedule(of), "optimisation": _optimisation(of, share=0.5, rate=1e-3, decay=0.05)}
            | {"sampling": {"guidance_scale": scale}}
        )
    return _denoiser(role, head, data, of, base)


def _denoiser(role: Role, head: Choices, data: Choices, of: DataSummary, base: str) -> Choices:
    images, labelled = of.data.kind == "images", role != Role.UNCONDITIONAL
    target, learned = "v", not labelled
    if of.taken_from is not None:
        target = of.taken_from.prediction.target
    prediction: Choices = {"target": Choice(target)}
    objective: Choices = {
        "weighting": Choice("simple", "min-snr hardly looks at the noise in which shape is decided" if images else "")
    }
    if learned:
        prediction["learned_variance"] = Choice(True, "few steps of the ancestral sampler, and a likelihood (ND21)")
        objective = {
            "loss": Choice("hybrid", "teaches the variance beside the mean"),
            "vlb_weight": Choice(0.001),
            "conditional": Choice(False, "labels, where there are some, are not shown to it"),
        }
    else:
        objective["label_drop"] = Choice(0.1, "so often no label is shown, for classifier-free guidance")
    sampling: Choices = {"sampler": Choice("dpmpp-2m"), "steps": Choice(20 if images else 25)}
    if learned:
        sampling["variance"] = Choice("learned", "of the sampler ddpm, where a request asks for it")
    if labelled:
        scale = 1.5 if images else 1.0
        sampling["guidance_scale"] = Choice(scale, "1 is plainly conditional; more is truer to its class, less varied")
    if role == Role.TEXT:
        head = head | {"text_from": Choice(f"{base}-clip", "reads its prompts; train it first")}
    return head | {
        "data": data,
        "network": _network(of),
        "schedule": _schedule(of),
        "prediction": prediction,
        "objective": objective,
        "optimisation": _optimisation(of, rate=5e-4 if images and of.rows >= FEW else 1e-3, decay=0.01),
        "sampling": sampling,
    }


def _description(role: Role, data: DataConfig) -> str:
    what = "images" if data.kind == "images" else "points"
    by_class = f"{len(data.labels)} classes" if data.labels else what
    return {
        Role.CONDITIONAL: f"{data.dataset} by class ({by_class}), with classifier-free guidance",
        Role.UNCONDITIONAL: f"{data.dataset}, unconditional, with a learned variance",
        Role.CLASSIFIER: f"Reads {data.dataset} through noise, for classifier guidance",
        Role.JUDGE: f"Reads {data.dataset}; measures the others, never guides them",
        Role.CONTROL_CANNY: f"{data.dataset} that follow the edges of a picture",
        Role.CONTROL_SKETCH: f"{data.dataset} that follow a drawing",
        Role.CLIP: f"Words and noisy {data.dataset} in one space, for CLIP guidance",
        Role.TEXT: f"{data.dataset} by prompt, with classifier-free guidance",
    }[role]


def _schedule(of: DataSummary) -> Choices:
    if of.taken_from is not None:
        return {SECTION_REASON: Choice(None, f"{of.taken_from.name}'s")} | _choices(of.taken_from.schedule.model_dump())
    return {"name": Choice("cosine"), "T": Choice(1000)}


def _network(of: DataSummary) -> Choices:
    if of.taken_from is not None:
        network = of.taken_from.network.model_dump(mode="json")
        return {SECTION_REASON: Choice(None, f"{of.taken_from.name}'s, whose weights it begins with")} | _choices(
            network
        )
    if of.data.kind == "points":
        return {"kind": Choice("mlp")} | _mlp(of)
    return {"kind": Choice("unet")} | _levels(of, (48, 96, 96, 96), (32, 64, 64, 64), (96, 192, 192, 192))


def _encoder(of: DataSummary) -> Choices:
    if of.data.kind == "points":
        return {"kind": Choice("point-encoder")} | _mlp(of)
    return {"kind": Choice("image-encoder")} | _levels(of, (32, 64, 64, 64), (32, 64, 64, 64), (64, 128, 128, 128))


def _mlp(of: DataSummary) -> Choices:
    wide = of.data.shape[0] > 8 and of.rows > 10_000
    return {"width": Choice(256 if wide else 128, "of every layer"), "blocks": Choice(3)}


def _levels(of: DataSummary, usual: tuple[int, ...], few: tuple[int, ...], gpu: tuple[int, ...]) -> Choices:
    """As many levels as make the last one small enough to attend."""
    height, width = of.data.shape[1:]
    patch = 1 if max(height, width) < 16 else 4 if max(height, width) >= (128 if of.on_gpu else 64) else 2
    while height % patch or width % patch:
        patch //= 2
    sides = [(height // patch, width // patch)]
    while (max(sides[-1]) > LAST_LEVEL or len(sides) < 2) and len(sides) < len(usual):
        if any(side % 2 or side < 4 for side in sides[-1]):
            break
        sides.append((sides[-1][0] // 2, sides[-1][1] // 2))
    if math.prod(sides[-1]) > ATTENDED:
        raise UnsupportedRole(
            f"--size {height}x{width}: cannot be halved often enough; give sides that are multiples of 8"
        )
    channels, why = usual, "wide enough for some thousand images, and quick enough for a CPU"
    if of.rows < FEW:
        channels, why = few, "narrow, for so few images"
    elif of.on_gpu:
        channels, why = gpu, "wide, as there is a GPU"
    at = ", ".join(f"{high}×{wide}" for high, wide in sides)
    behind = f", behind {patch}×{patch} patches" if patch > 1 else ""
    return {
        "channels": Choice(list(channels[: len(sides)]), f"at {at}{behind}; {why}"),
        "blocks": Choice(2, "a level"),
        "attention": Choice([len(sides) - 1], "at this level, from 0 on"),
        "patch": Choice(patch),
        "groups": Choice(8),
    }


def _optimisation(of: DataSummary, *, rate: float, decay: float, share: float = 1.0) -> Choices:
    """`share`: of the steps of a denoiser."""
    images = of.data.kind == "images"
    if of.taken_from is not None:
        share, rate = share / 2, rate / 2
    batch = min((256 if of.on_gpu else 128) if images else 512, _power_of_two(of.rows))
    # Twice the images, √2 times the steps: a small set is seen often, a large one fewer times. A table that is passed
    # over more often is known by heart.
    enough = max(1500, 2200 * math.sqrt(of.rows / 2000)) if images else max(300, PASSES * of.rows / batch)
    steps = _round(min(enough, 40_000) * share)
    precision = "bf16" if images and has_bfloat16(of.device) else "no"
    why = {"bf16": "this device multiplies in it", "no": "" if not images else "this device has no bfloat16"}[precision]
    return _lasting(steps, batch, of.rows) | {
        "batch_size": Choice(batch),
        "learning_rate": Choice(rate),
        "weight_decay": Choice(decay),
        "mixed_precision": Choice(precision, why),
    }


def _power_of_two(rows: int) -> int:
    """The largest that is no more than the rows, from 8 on."""
    return max(8, 2 ** (rows.bit_length() - 1))


def with_steps(recipe: Choices, steps: int, rows: int) -> Choices:
    """The same over as many steps as there is time for."""
    options = recipe["optimisation"]
    shorter = _lasting(steps, options["batch_size"].value, rows, "as many as --minutes allow; ")
    return recipe | {"optimisation": options | shorter}


def _lasting(steps: int, batch: int, rows: int, why: str = "") -> Choices:
    """All that goes with the number of steps."""
    decay = min(0.999, round(1 - 10 / steps, 4))
    return {
        "steps": Choice(steps, f"{why}{steps * batch / rows:,.0f} passes over the {rows:,} rows"),
        "warmup_steps": Choice(min(200, steps // 5)),
        "ema_decay": Choice(decay, f"averages about the last {1 / (1 - decay):,.0f} steps"),
        "save_every": Choice(max(1, steps // 10)),
        "sample_every": Choice(max(1, steps // 4)),
    }


def _round(steps: float) -> int:
    """To two digits."""
    unit = 10 ** max(0, math.floor(math.log10(steps)) - 1)
    return int(round(steps / unit) * unit)


def _choices(values: Mapping[str, Any]) -> Choices:
    return {key: Choice(list(value) if isinstance(value, tuple) else value) for key, value in values.items()}
