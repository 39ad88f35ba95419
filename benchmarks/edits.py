"""Test digits redrawn, inverted and noised, and walks between seeds: what the judge reads, and sheets to look at."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor

from model import Conditions, load_checkpoint, make_plan, sample
from model.backends.onnx_runtime import onnx_row_function
from model.checkpoints.base import TorchPrecision
from model.checkpoints.control import ControlCheckpoint, load_control
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.judge import Judge, load_judge
from model.conditions import NO_LABEL, HintKind, Known
from model.denoiser import Control, Network
from model.hints import known_hint
from model.noise import normal
from model.plan import Plan
from model.sampler_spec import Variance
from model.start import known_start, mixed_noise, noised_start
from training.data import trained_on
from training.report.image_grid import save_sheet

CHECKPOINTS = Path("checkpoints")
MODEL, JUDGE, CONTROL = "mnist-cfg", "mnist-judge", "mnist-control-inpainting"
BATCH = 64
SHOWN = 10  # digits on a sheet
HIDDEN = -0.4  # the grey of what is to be redrawn, on a sheet
STRENGTHS = (0.3, 0.5, 0.7, 0.8, 0.9)
INVERSIONS = tuple((sampler, steps) for sampler in ("ddim", "dpmpp-2m", "heun") for steps in (10, 20, 50))
WALKS, PLACES = 8, 9
STEPS, SCALE = 20, 1.3
SEEDS, OF_DIGITS = 10, 20  # of each of so many digits, whose left half is redrawn: to see how unlike they are


@dataclass(frozen=True)
class LeftHalf:
    """How left halves are redrawn. Where it is labelled, by the digit's own label.

    hinted  the ControlNet tells what is kept; the scale is that of the hint where there is no label
    shown   its line stands on the sheet
    """

    sampler: str
    steps: int
    variance: Variance = "fixed-small"
    resample: int = 1
    labelled: bool = False
    hinted: bool = False
    scale: float = 1.0
    interval: tuple[float, float] | None = None
    shown: bool = False

    def __str__(self) -> str:
        variance = f" {self.variance}" if self.sampler == "ddpm" else ""
        between = "" if self.interval is None else f" within {self.interval[0]:g} … {self.interval[1]:g}"
        condition = "its label" if self.labelled else "no label"
        condition += f", scale {self.scale:g}{between}" if self.labelled or self.hinted else ""
        hinted = "ControlNet, " if self.hinted else ""
        return f"{self.sampler} {self.steps}{variance}, {hinted}resample {self.resample}, {condition}"


LEFT_HALVES = (
    LeftHalf("ddpm", 25, shown=True),
    LeftHalf("dpmpp-2m", STEPS, shown=True),
    LeftHalf("dpmpp-2m", STEPS, resample=10, shown=True),
    LeftHalf("dpmpp-2m", STEPS, hinted=True),
    LeftHalf("dpmpp-2m", STEPS, hinted=True, scale=2.0, shown=True),
    LeftHalf("ddpm", 25, labelled=True),
    LeftHalf("dpmpp-2m", STEPS, labelled=True),
    LeftHalf("dpmpp-2m", STEPS, labelled=True, hinted=True),
    LeftHalf("dpmpp-2m", STEPS, labelled=True, scale=2.0, interval=(0.2, 3.0), shown=True),
)


@dataclass(frozen=True, eq=False)
class Digits:
    """Test digits, as the data has them [n, 1, 28, 28] and as the network does, with the noise of the seeds 0, 1, …"""

    checkpoint: DenoiserCheckpoint
    network: Network
    controls: Mapping[HintKind, Control]
    judge: Judge
    rows: Tensor
    labels: Tensor

    @property
    def x0(self) -> Tensor:
        return self.checkpoint.config.data.standardise(self.rows)

    def repeated(self, digits: int, times: int) -> "Digits":
        """The first so many, each so many times in a row."""
        rows, labels = (one[:digits].repeat_interleave(times, 0) for one in (self.rows, self.labels))
        return replace(self, rows=rows, labels=labels)

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
        denoiser = self.checkpoint.denoiser(network=self.network, controls=self.controls)
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


class Part(StrEnum):
    """What is measured, and has a sheet."""

    WALKS = "walks"
    INVERSION = "inversion"
    STRENGTHS = "strengths"
    INPAINTING = "inpainting"


def run(parts: Sequence[Part], digits: int, precision: TorchPrecision, folder: Path) -> None:
    """Print what is measured of so many test digits, and save a sheet of each part in the folder.

    precision  float32 by ONNX Runtime, or bfloat16 by PyTorch
    """
    checkpoint = load_checkpoint(CHECKPOINTS / MODEL)
    held_out = trained_on(checkpoint.config).held_out
    in_float32 = precision == "float32"
    control = load_control(CHECKPOINTS / CONTROL) if Part.INPAINTING in parts else None
    found = Digits(
        checkpoint,
        onnx_row_function(checkpoint) if in_float32 else checkpoint.torch_network(precision=precision),
        _control(control, precision) if control is not None else {},
        load_judge(CHECKPOINTS / JUDGE, torch.device("cpu")),
        held_out.rows[:digits].float(),
        held_out.labels[:digits],
    )
    print(f"{digits} test digits, of which the judge reads {found.read_as(found.rows, found.labels)} right", flush=True)
    for part in parts:
        lines, columns = LINES[part](found), PLACES if part == Part.WALKS else SHOWN
        save_sheet(torch.cat([line[:columns] for line in lines]), folder / f"edits-{part}.png", columns)


def _control(checkpoint: ControlCheckpoint, precision: TorchPrecision) -> dict[HintKind, Control]:
    by_torch = checkpoint.control(precision=precision) if precision != "float32" else None
    return {checkpoint.hint: by_torch or onnx_row_function(checkpoint)}


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
        print(f"inversion: {sampler} {steps}: {digits.away(back)} away, {read} agree", flush=True)
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
    """The digits, what is kept of them, and what is drawn beside it; then many seeds of each of the first digits."""
    yield digits.rows
    data, x0 = digits.checkpoint.config.data, digits.x0
    yield data.restore(torch.where(_right_half(x0) != 0, x0, HIDDEN))
    for way in LEFT_HALVES:
        drawn = _left_halves(digits, way, digits.seeds)
        agree = digits.read_as(drawn, digits.labels)
        print(f"left half: {way}: {agree} are read as the source", flush=True)
        if way.shown:
            yield drawn
    first = digits.repeated(OF_DIGITS, SEEDS)
    for way in LEFT_HALVES:
        if way.shown:
            drawn = _left_halves(first, way, first.seeds)
            print(f"{SEEDS} seeds of each: {way}: {_diversity(first, drawn)}", flush=True)


def _right_half(x0: Tensor) -> Tensor:
    """1 where it is kept."""
    kept = torch.zeros_like(x0)
    kept[..., kept.shape[-1] // 2 :] = 1
    return kept


def _left_halves(digits: Digits, way: LeftHalf, seeds: Tensor) -> Tensor:
    """The digits with their left halves redrawn."""
    schedule, n = digits.checkpoint.schedule, len(digits.labels)
    known = Known(digits.x0, _right_half(digits.x0))
    start = known_start(digits.noise, known, digits.noise, schedule, schedule.T)
    plan = make_plan(schedule, way.sampler, way.steps, variance=way.variance, resample=way.resample)
    label = digits.labels if way.labelled else NO_LABEL
    conditions = Conditions.alike(n, label=label, guidance_scale=way.scale, guidance_interval=way.interval)
    if way.hinted:
        hint = known_hint(digits.rows, _right_half(digits.rows).bool())
        conditions = conditions.with_hints(hint, "inpainting", 1.0)
    return digits.drawn(plan, replace(conditions, known=known), seeds, start)


def _diversity(digits: Digits, drawn: Tensor) -> str:
    """How unlike the samples of one digit are in the redrawn half, and in how many ways they are read."""
    _, classes = digits.judge.look(drawn)
    ways = sum(len(set(own)) for own in classes.view(-1, SEEDS).tolist()) / (len(drawn) // SEEDS)
    halves = drawn[..., : drawn.shape[-1] // 2].flatten(1).view(-1, SEEDS, drawn[0].numel() // 2)
    apart = halves.sub(halves.mean(1, keepdim=True)).square().sum(1).div(SEEDS - 1).mul(2).mean().sqrt()
    agree = digits.read_as(drawn, digits.labels)
    return f"two are {apart:.1f} of 255 apart, read in {ways:.2f} ways, {agree} as the source"


LINES: Mapping[Part, Callable[[Digits], Iterator[Tensor]]] = {
    Part.WALKS: _walks,
    Part.INVERSION: _inversions,
    Part.STRENGTHS: _strengths,
    Part.INPAINTING: _inpainted,
}
