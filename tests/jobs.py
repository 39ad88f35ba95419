"""Models of every kind that can be served, tiny, and jobs for them that agree in nothing."""

import random
from dataclasses import fields, replace

import torch
from torch import Tensor

from model.conditions import HINT_KINDS, NO_LABEL, Conditions, HintKind, Known
from model.noise import sample_seeds
from model.plan import Plan, make_plan
from model.samplers import SAMPLERS
from service.engine.job import Job
from service.engine.served_model import Served
from tests.tiny import (
    IMAGES,
    POINTS,
    tiny_autoguidance,
    tiny_checkpoint,
    tiny_classifier,
    tiny_clip,
    tiny_control,
    tiny_text_checkpoint,
)

CHECKPOINTS = {
    "images": tiny_checkpoint(IMAGES),
    "points": tiny_checkpoint(POINTS),
    "learned": tiny_checkpoint(IMAGES, learned_variance=True),
    "plain": tiny_checkpoint(IMAGES.model_copy(update={"labels": ()}), learned_variance=True),
    "text": tiny_text_checkpoint(IMAGES),
}
OF_IMAGES, CLIP = tiny_classifier(IMAGES), tiny_clip(IMAGES)
CONTROLS = {kind: tiny_control(CHECKPOINTS["images"], kind) for kind in HINT_KINDS}
SERVED = {
    "images": Served(CHECKPOINTS["images"], {"label": OF_IMAGES}, CONTROLS),
    "learned": Served(CHECKPOINTS["learned"], {"label": OF_IMAGES}, weak=tiny_autoguidance(CHECKPOINTS["learned"])),
    "plain": Served(CHECKPOINTS["plain"], {"label": OF_IMAGES, "text": CLIP}),
    "points": Served(
        CHECKPOINTS["points"], {"label": tiny_classifier(POINTS)}, weak=tiny_autoguidance(CHECKPOINTS["points"])
    ),
    "text": Served(CHECKPOINTS["text"]),
}
WAYS_TO_SAMPLE = [
    *(dict(sampler=name) for name in SAMPLERS),
    dict(sampler="ddpm", variance="fixed-large"),
    dict(sampler="ddim", eta=0.7),
]


def make_job(
    model="images",
    *,
    n=1,
    steps=4,
    seed=0,
    label=3,
    scale=1.5,
    gradient=0.0,
    auto=1.0,
    text=None,
    hint=None,
    interval=None,
    edit=None,
    **sampler,
) -> Job:
    plan = make_plan(CHECKPOINTS[model].schedule, **{"sampler": "dpmpp-2m", **sampler}, steps=steps)
    label = NO_LABEL if label is None else label
    conditions = Conditions.alike(
        n, label=label, guidance_scale=scale, gradient_scale=gradient, text=text, guidance_interval=interval,
        autoguidance_scale=auto,
    )  # fmt: skip
    job = Job(model, plan, sample_seeds(seed, n), conditions.with_hints(*hint) if hint else conditions)
    return edited(job, edit) if edit else job


EDITS = ("start", "known", "inversion")


def edited(job: Job, edit: str) -> Job:
    """The job, beginning from some x0; with a known part; or going through the x0's own noise."""
    shape, n = CHECKPOINTS[job.model].data.shape, len(job)
    x0 = torch.rand(n, *shape, generator=torch.Generator().manual_seed(int(job.seeds[0]) % 5)) * 2 - 1
    conditions = job.conditions
    if edit == "known":
        conditions = replace(conditions, known=Known(x0, (x0 > 0).float()))
    if edit == "inversion":
        conditions = replace(conditions, source=torch.full((n,), 1))
    return replace(job, start=x0, conditions=conditions)


def make_hint(draw: random.Random) -> tuple[Tensor, HintKind, float]:
    image = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(draw.randrange(5)))
    return image, draw.choice(HINT_KINDS), draw.choice([0.0, 0.5, 1.0, 2.0])


def rest_of(plan: Plan, done: int) -> Plan:
    """The plan without its first steps."""
    return Plan(**{column.name: getattr(plan, column.name)[done:] for column in fields(plan)})


def random_job(draw: random.Random) -> Job:
    model = draw.choice(list(CHECKPOINTS))
    learned = model in ("learned", "plain")
    samplers = [*WAYS_TO_SAMPLE, *[dict(sampler="ddpm", variance="learned")] * (4 if learned else 0)]
    vector = torch.randn(8, generator=torch.Generator().manual_seed(draw.randrange(5)))
    edit, way = draw.choice([*[None] * 5, *EDITS]), draw.choice(samplers)
    if edit == "known" and way.get("variance") != "learned":
        way = way | {"resample": draw.choice([1, 2])}
    if edit == "inversion":
        way = {"sampler": draw.choice(["ddim", "dpmpp-2m", "heun"]), "inverted": True}
    prompted = model == "text" or (model == "plain" and draw.random() < 0.5)
    return make_job(
        model,
        n=draw.choice([1, 1, 2, 3, 7]),
        steps=draw.choice([1, 2, 2, 3, 3, 5, 10, 10, 50] if not edit and draw.random() < 0.3 else [1, 2, 3, 5]),
        seed=draw.randrange(2**63),
        label=None if prompted else draw.choice([None, 0, 1]),
        text=torch.nn.functional.normalize(vector, dim=0) if prompted and draw.random() < 0.8 else None,
        scale=draw.choice([0.0, 1.0, 1.5, 4.0]),
        interval=draw.choice([None, None, (0.3, 5.0), (0.0, 1.0)]),
        gradient=draw.choice([0.0, 0.0, 1.0, 3.0]) if model != "text" else 0.0,
        auto=draw.choice([1.0, 1.0, 0.5, 2.0]) if SERVED[model].weak is not None else 1.0,
        hint=make_hint(draw) if model == "images" and draw.random() < 0.6 else None,
        edit=edit,
        **way,
    )
