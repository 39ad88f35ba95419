"""Test digits redrawn, inverted and noised, and walks between seeds: what the judge reads, and sheets to look at."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from model import Conditions, load_checkpoint, make_plan, sample
from model.backends.onnx_runtime import onnx_row_function
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.judge import Judge, load_judge
from model.conditions import Known
from model.noise import normal
from model.plan import Plan
from model.sampler_spec import Variance
from model.start import known_start, mixed_noise, noised_start
from training.data import trained_on
from training.report.image_grid import save_sheet

CHECKPOINTS = Path("checkpoints")
MODEL, JUDGE = "mnist-cfg", "mnist-judge"
BATCH = 64
SHOWN = 10  # digits on a sheet
HIDDEN = -0.4  # the grey of what is to be redrawn, on a sheet
RESAMPLED: tuple[tuple[Variance, int], ...] = (("fixed-small", 1), ("fixed-small", 5), ("fixed-large", 10))
STRENGTHS = (0.3, 0.5, 0.7, 0.8, 0.9)
INVERSIONS = tuple((sampler, steps) for sampler in ("ddim", "dpmpp-2m", "heun") for steps in (10, 20, 50))
WALKS, PLACES = 8, 9
STEPS, SCALE = 20, 1.3


@dataclass(frozen=True, eq=False)
class Digits:
    """Test digits, as the data has them [n, 1, 28, 28] and as the network does, with the noise of the seeds 0, 1, …"""

    checkpoint: DenoiserCheckpoint
    judge: Judge
    rows: Tensor
    labels: Tensor

    @property
    def x0(self) -> Tensor:
        return self.checkpoint.config.data.standardise(self.rows)

    @property
    def seeds(self) -> Tensor:
        return torch.arange(len(self.labels))

    @property
    def noise(self) -> Tensor:
        return normal(self.seeds, torch.zeros_like(self.seeds), self.checkpoint.config.data.shape)

    @property
    def others(self) -> Tensor:
        """A label that each digit does not have."""
        return (self.labels + 5) % 10

    def drawn(self, plan: Plan, conditions: Conditions, seeds: Tensor, start: Tensor) -> Tensor:
        """[n, 1, 28, 28] in whole numbers 0 … 255."""
        data = self.checkpoint.config.data
        denoiser = self.checkpoint.denoiser(network=onnx_row_function(self.checkpoint))
        parts = [slice(first, first + BATCH) for first in range(0, len(seeds), BATCH)]
        done = [sample(denoiser, plan, conditions[part], seeds[part], data.shape, start[part]) for part in parts]
        return data.restore(torch.cat(done)).round().clamp(0, 255)

    def read_as(self, images: Tensor, labels: Tensor) -> str:
        """The share of the images that the judge reads so."""
        _, classes = self.judge.look(images)
        return f"{100 * (classes == labels).double().mean().item():.1f} %"

    def away(self, images: Tensor) -> str:
        """The root mean square difference from the digits, of 255."""
        return f"{(images - self.rows).square().mean().sqrt().item():.1f}"


def run(digits: int, folder: Path) -> None:
    """Print what is measured of so many test digits, and save a sheet of each kind in the folder."""
    checkpoint = load_checkpoint(CHECKPOINTS / MODEL)
    held_out = trained_on(checkpoint.config).held_out
    found = Digits(
        checkpoint,
        load_judge(CHECKPOINTS / JUDGE, torch.device("cpu")),
        held_out.rows[:digits].float(),
        held_out.labels[:digits],
    )
    print(f"{digits} test digits, of which the judge reads {found.read_as(found.rows, found.labels)} right")
    for name, columns, lines in (
        ("walks", PLACES, _walks(found)),
        ("inversion", SHOWN, _inversions(found)),
        ("strengths", SHOWN, _strengths(found)),
        ("inpainting", SHOWN, _inpainted(found)),
    ):
        save_sheet(torch.cat([line[:columns] for line in lines]), folder / f"edits-{name}.png", columns)


def _walks(digits: Digits) -> Iterator[Tensor]:
    """One line for each walk, at its own label."""
    first = torch.arange(WALKS).repeat_interleave(PLACES)
    share = torch.linspace(0, 1, PLACES, dtype=torch.float64).repeat(WALKS)
    start = mixed_noise(first, first + 1000, share, digits.checkpoint.config.data.shape)
    plan = make_plan(digits.checkpoint.schedule, "dpmpp-2m", STEPS)
    conditions = Conditions.alike(len(first), label=first % 10, guidance_scale=SCALE)
    drawn = digits.drawn(plan, conditions, first, start)
    walks = drawn.view(WALKS, PLACES, *drawn.shape[1:])
    steps = (walks[:, 1:] - walks[:, :-1]).square().mean((2, 3, 4)).sqrt()
    ends = (walks[:, -1] - walks[:, 0]).square().mean((1, 2, 3)).sqrt().mean().item()
    largest = (steps.amax(1) / steps.mean(1)).mean().item()
    print(
        f"walks: a step moves {steps.mean():.1f} of 255, the largest {largest:.1f} times that; ends: {ends:.1f} apart"
    )
    yield from walks


def _inversions(digits: Digits) -> Iterator[Tensor]:
    """The digits, and their reconstructions; then each with another label, at two scales."""
    yield digits.rows
    own = replace(Conditions.alike(len(digits.labels), label=digits.labels, guidance_scale=1.0), source=digits.labels)
    for sampler, steps in INVERSIONS:
        plan = make_plan(digits.checkpoint.schedule, sampler, steps, inverted=True)
        back = digits.drawn(plan, own, digits.seeds, digits.x0)
        read = digits.read_as(back, digits.labels)
        print(f"inversion: {sampler} {steps}, {len(plan)} evaluations: {digits.away(back)} away, {read} agree")
        if (sampler, steps) == ("dpmpp-2m", STEPS):
            yield back
    for scale in (1.0, 2.0):
        plan = make_plan(digits.checkpoint.schedule, "dpmpp-2m", STEPS, inverted=True)
        asked = Conditions.alike(len(digits.labels), label=digits.others, guidance_scale=scale)
        other = digits.drawn(plan, replace(asked, source=digits.labels), digits.seeds, digits.x0)
        read = digits.read_as(other, digits.others)
        print(f"counterfactual: scale {scale:g}: {read} are read as the other label, {digits.away(other)} away")
        yield other


def _strengths(digits: Digits) -> Iterator[Tensor]:
    """The digits, and a line for each strength with another label."""
    yield digits.rows
    schedule, n = digits.checkpoint.schedule, len(digits.labels)
    for strength in STRENGTHS:
        t = round(strength * schedule.T)
        plan = make_plan(schedule, "dpmpp-2m", math.ceil(STEPS * strength), start=t)
        start = noised_start(digits.x0, digits.noise, schedule, t)
        plain = digits.drawn(plan, Conditions.none(n), digits.seeds, start)
        asked = Conditions.alike(n, label=digits.others, guidance_scale=SCALE)
        other = digits.drawn(plan, asked, digits.seeds, start)
        print(
            f"strength {strength:g}: without a label {digits.read_as(plain, digits.labels)} keep theirs, "
            f"{digits.away(plain)} away; with another {digits.read_as(other, digits.others)} are read as it"
        )
        yield other


def _inpainted(digits: Digits) -> Iterator[Tensor]:
    """The digits, what is kept of them, and what is drawn beside it."""
    yield digits.rows
    data, n = digits.checkpoint.config.data, len(digits.labels)
    schedule, x0, noise = digits.checkpoint.schedule, digits.x0, digits.noise
    kept = torch.zeros_like(x0)
    kept[..., kept.shape[-1] // 2 :] = 1
    yield data.restore(torch.where(kept != 0, x0, HIDDEN))
    known = Known(x0, kept)
    start = known_start(noise, known, noise, schedule, schedule.T)
    for variance, times in RESAMPLED:
        plan = make_plan(schedule, "ddpm", 25, variance=variance, resample=times)
        drawn = digits.drawn(plan, replace(Conditions.none(n), known=known), digits.seeds, start)
        agree = digits.read_as(drawn, digits.labels)
        print(f"left half: ddpm 25, {variance}, resample {times}: the judge reads {agree} as the source")
        yield drawn
    plan, own = make_plan(schedule, "ddpm", 25), Conditions.alike(n, label=digits.labels, guidance_scale=1.0)
    drawn = digits.drawn(plan, replace(own, known=known), digits.seeds, start)
    print(f"left half: ddpm 25, with the source's label: {digits.read_as(drawn, digits.labels)}")
