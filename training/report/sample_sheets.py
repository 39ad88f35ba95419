"""Pictures of samples: sheets, and how they form."""

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.utils import make_grid, save_image

from model.checkpoints.clip import ClipCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig, SamplingConfig
from model.conditions import NO_LABEL, Conditions
from model.noise import normal, sample_seeds
from model.plan import Sampler, make_plan
from model.sampling import sampling_states
from training.data import trained_on
from training.data.digit_captions import held_out_prompts
from training.data.drawings import DRAWN_OF
from training.data.hinted_images import HintedImages
from training.data.training_set import FiniteSet
from training.evaluate.hint_evaluation import of_drawings
from training.generate import Guidance, followed, generate, labelled, prompted, spread
from training.metrics.clip_retrieval import nearest_captions
from training.plotting import plt
from training.report import grid
from training.report.pipeline import GuidedPipeline, HintedPipeline, Pipeline

SHEET = 10  # samples a line
FORMING: dict[str, tuple[Sampler, int]] = {"points": ("ddpm", 100), "images": ("ddpm", 50)}
STILLS = (0, 10, 25)  # steps done of FORMING's images, before the end: noise, step 10, the middle
POINTS = 2_000
ROOM = 1.3  # around points, as a multiple of how far they reach
FRAMES = 26  # of an animation; the last one stays
FRAME_MS, LAST_MS = 80, 2000
ZOOM = 2  # pixels of a sheet, a side, for each of an image's
MARGIN = dict(padding=2, pad_value=0.3)
PROMPTS = ("a bold eight standing upright", "a wide thin zero", "the digit four leaning left")  # beside the card's own
NEAREST = 3
HINTED = 200  # test images that hints are taken of
CAPTIONS, CAPTIONED = 2_000, (2, 4)  # captions to choose from; lines × columns of images to choose for
SCALES = (0.0, 1.0, 3.0, 10.0)  # of a gradient

Draw = Callable[[Path], None]
"""Makes the picture at that path. All of them are of seeds 0, 1, …: nothing is picked."""


def of_steps(pipeline: Pipeline, device: torch.device) -> dict[str, tuple[str, Draw]]:
    """What is said of each picture → its name and the picture: samples at more and more steps, and how they form."""
    checkpoint, config = pipeline.checkpoint, pipeline.checkpoint.config
    sampler, steps = _forming(config)
    forming, animated = pipeline.picture("forming"), pipeline.picture("forming-animated")
    if config.data.kind == "points":
        if len(config.data.columns) != 2:
            return {}
        coloured = "label" if config.data.labels else "how far from the middle they end"
        return {
            f"How they form, {sampler}, {steps} steps; coloured by {coloured}:": (
                forming, lambda path: _points_stills(checkpoint, path, device),
            ),
            "The same, moving:": (animated, lambda path: _points_animation(checkpoint, path, device)),
        }  # fmt: skip
    noisy = config.sampling.sampler in ("ddpm", "renoise")
    more = f"The same seeds at {_listed(_more_steps(config))} steps of {config.sampling.sampler}" + (
        ", whose noise is drawn anew at each, so that a seed is another sample in another number of steps:"
        if noisy
        else ":"
    )
    return {
        more: (pipeline.picture("by-steps"), lambda path: _by_steps(checkpoint, path, device)),
        f"How they form, {sampler}, after {_listed(_stills(steps))} of {steps} steps:": (
            forming, lambda path: _image_stills(checkpoint, path, device),
        ),
        "The same, moving:": (animated, lambda path: _image_animation(checkpoint, path, device)),
    }  # fmt: skip


def _forming(config: DenoiserConfig) -> tuple[Sampler, int]:
    sampler, steps = FORMING[config.data.kind]
    return sampler, min(steps, config.schedule.T)


def _stills(steps: int) -> list[int]:
    return [*(done for done in STILLS if done < steps), steps]


def _more_steps(config: DenoiserConfig) -> list[int]:
    return [steps for steps in grid.STEPS if steps <= config.schedule.T]


def _listed(numbers: Sequence[int]) -> str:
    *others, last = map(str, numbers)
    return " and ".join([*([", ".join(others)] if others else []), last])


def of_scales(pipeline: GuidedPipeline, device: torch.device) -> tuple[str, Draw]:
    """The same seeds at more and more of the gradient: a line each scale, a column each label."""
    checkpoint, guidance_model = pipeline.checkpoint, pipeline.guidance_model
    labels = spread(len(guidance_model.data.labels), SHEET)
    options = _at(checkpoint.config)

    def draw(path: Path) -> None:
        asked = (labelled(labels, options, Guidance(guidance_model, scale)) for scale in SCALES)
        lines = [generate(checkpoint, one, options, guidance_model=guidance_model, device=device) for one in asked]
        _save(torch.cat(lines), path, columns=len(labels))

    return pipeline.picture("scales"), draw


def of_prompts(pipeline: Pipeline, device: torch.device) -> tuple[str, tuple[str, ...], Draw]:
    """(name, prompts, picture): a line each prompt, a column each seed, as the cards advise."""
    checkpoint, guidance_model = pipeline.checkpoint, pipeline.guidance_model
    encoder = guidance_model.text if isinstance(guidance_model, ClipCheckpoint) else checkpoint.text
    if encoder is None:
        raise ValueError(f"{pipeline.title} is not conditioned on text")
    prompts = (*encoder.config.vocabulary.examples, *PROMPTS)
    advised = checkpoint.config.sampling
    options = guidance_model.overrides.applied_to(advised) if guidance_model else advised

    def draw(path: Path) -> None:
        text = encoder.embed([encoder.config.vocabulary.read(prompt) for prompt in prompts])
        guidance = None if guidance_model is None else Guidance(guidance_model, options.guidance_scale)
        asked = prompted(text.repeat_interleave(SHEET, dim=0), options, guidance)
        # The same seeds in every line.
        lines = [
            generate(checkpoint, asked[start : start + SHEET], options, guidance_model=guidance_model, device=device)
            for start in range(0, len(asked), SHEET)
        ]
        _save(torch.cat(lines), path, columns=SHEET)

    return pipeline.picture("prompts"), prompts, draw


def of_captions(pipeline: GuidedPipeline, device: torch.device) -> tuple[str, Draw]:
    """Samples, and the captions that CLIP finds nearest to each."""
    clip, captions = pipeline.guidance_model, sorted({prompt.text for prompt in held_out_prompts(CAPTIONS)})
    if not isinstance(clip, ClipCheckpoint):
        raise ValueError(f"{clip.name} is no CLIP: it knows no captions")

    def draw(path: Path) -> None:
        checkpoint, nobody = pipeline.checkpoint, Conditions.none(math.prod(CAPTIONED))
        images = generate(checkpoint, nobody, _at(checkpoint.config), device=device)
        nearest = nearest_captions(clip.clip(device), clip, images.round().clamp(0, 255), captions, NEAREST)
        lines, columns = CAPTIONED
        size = (3 * columns, 3.9 * lines)
        figure, panels = plt.subplots(lines, columns, figsize=size, dpi=90, squeeze=False, layout="constrained")
        for panel, image, found in zip(panels.flat, images, nearest, strict=True):
            panel.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=255)
            told = (textwrap.fill(captions[one], 44, subsequent_indent="   ") for one in found)
            panel.set_xlabel("\n".join(told), fontsize=7.5, loc="left")
            panel.set(xticks=[], yticks=[])
        figure.savefig(path, bbox_inches="tight")
        plt.close(figure)

    return pipeline.picture("captions"), draw


def of_hints(pipeline: HintedPipeline, device: torch.device) -> dict[str, tuple[str, Draw]]:
    """What is said of each picture → its name and the picture."""
    checkpoint, control = pipeline.checkpoint, pipeline.control
    advised, scale = checkpoint.config.sampling, control.config.control_scale

    def made(hints: Tensor, labels: Tensor, options: SamplingConfig = advised) -> Tensor:
        conditions = followed(labelled(labels.numpy(), options), hints, control.hint, scale)
        return generate(checkpoint, conditions, options, control=control, device=device)

    def by_label(path: Path) -> None:
        """A line each hint: itself, then every label."""
        data = trained_on(checkpoint.config)
        few = data.held_out.some(HINTED)
        rows, _ = HintedImages(FiniteSet(data.config, few, few), control.hint).draw(
            SHEET, torch.Generator().manual_seed(0)
        )
        hints = rows[:, -1:]
        classes = torch.from_numpy(spread(len(checkpoint.config.data.labels), SHEET))
        lines = []
        for hint in hints:
            every = made(hint.expand(len(classes), -1, -1, -1), classes)
            lines.append(torch.cat([255 * hint.expand_as(every[:1]), every]))
        _save(torch.cat(lines), path, columns=1 + len(classes))

    def by_hand(path: Path) -> None:
        """Drawing, hint, without a label, with it: four lines for each half of the drawings."""
        drawn = of_drawings(control.config)
        alone = made(drawn.hints, torch.full_like(drawn.labels, NO_LABEL), control.config.sampling.applied_to(advised))
        lines = (255 - drawn.sources, 255 * drawn.hints, alone, made(drawn.hints, drawn.labels))
        half = len(drawn.labels) // 2
        halves = [line[part] for part in (slice(None, half), slice(half, None)) for line in lines]
        _save(torch.cat(halves), path, columns=half)

    found: dict[str, tuple[str, Draw]] = {}
    if labels := checkpoint.config.data.labels:
        shown = " … ".join(dict.fromkeys((labels[0], labels[-1])))
        found[f"A hint, and what the labels {shown} make of it:"] = (f"{control.name}-labels.png", by_label)
    if checkpoint.config.data.dataset == DRAWN_OF:
        told = "Drawings by hand; their hints; what is made of them without a label; and with it:"
        found[told] = (f"{control.name}-drawings.png", by_hand)
    return found


def _sheet(images: Tensor, columns: int) -> Tensor:
    """Images [n, C, H, W] in 0 … 255, side by side and so large that one sees them: [3, …] in 0 … 1."""
    large = F.interpolate(images.float().clamp(0, 255) / 255, scale_factor=ZOOM, mode="nearest")
    sheet: Tensor = make_grid(large, nrow=columns, **MARGIN)
    return sheet


def _save(images: Tensor, path: Path, columns: int) -> None:
    save_image(_sheet(images, columns), path)


def _at(config: DenoiserConfig) -> SamplingConfig:
    """The settings at which scales are compared."""
    sampler, steps = grid.scales_at(config.schedule.T)
    return SamplingConfig(sampler=sampler, steps=steps)


def _states(checkpoint: DenoiserCheckpoint, sampler: Sampler, steps: int, n: int, device: torch.device) -> list[Tensor]:
    """x at every step from the noise on, in the data's own units: steps + 1 times [n, …]."""
    data, config = checkpoint.config.data, checkpoint.config
    plan = make_plan(checkpoint.schedule, sampler, steps, variance=config.sampling.variance)
    labels = np.arange(n) % len(data.labels) if data.labels else np.full(n, NO_LABEL)
    conditions = Conditions(torch.from_numpy(labels), torch.full((n,), config.sampling.guidance_scale))
    seeds = torch.from_numpy(sample_seeds(0, n))
    states = [data.restore(normal(seeds, torch.zeros_like(seeds), data.shape))]  # what a run starts from
    for state in sampling_states(checkpoint.denoiser(device), plan, conditions, seeds, data.shape):
        states.append(data.restore(state.x).cpu())
    return states


def _by_steps(checkpoint: DenoiserCheckpoint, path: Path, device: torch.device) -> None:
    """The same seeds at more and more steps: a line each, by the card's sampler."""
    sampler = checkpoint.config.sampling.sampler
    lines = [_states(checkpoint, sampler, steps, SHEET, device)[-1] for steps in _more_steps(checkpoint.config)]
    _save(torch.cat(lines), path, columns=SHEET)


def _image_stills(checkpoint: DenoiserCheckpoint, path: Path, device: torch.device) -> None:
    sampler, steps = _forming(checkpoint.config)
    states = _states(checkpoint, sampler, steps, SHEET, device)
    _save(torch.cat([states[step] for step in _stills(steps)]), path, columns=SHEET)


def _image_animation(checkpoint: DenoiserCheckpoint, path: Path, device: torch.device) -> None:
    sampler, steps = _forming(checkpoint.config)
    states = _states(checkpoint, sampler, steps, 4 * SHEET, device)
    sheets = (_sheet(states[i], columns=SHEET) for i in _spread(steps))
    frames = [Image.fromarray((sheet * 255).byte().permute(1, 2, 0).numpy()) for sheet in sheets]
    grey = checkpoint.config.data.shape[0] == 1
    _animate([frame.convert("L") if grey else frame for frame in frames], path)


def _points_stills(checkpoint: DenoiserCheckpoint, path: Path, device: torch.device) -> None:
    """Noise, the middle and the end side by side."""
    sampler, steps = _forming(checkpoint.config)
    states = _states(checkpoint, sampler, steps, POINTS, device)
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.5), dpi=110)
    for panel, step, title in zip(panels, (0, steps // 2, steps), ("noise", "middle", "end"), strict=True):
        _scatter(panel, checkpoint, states, step)
        panel.set_title(f"{title}: step {step} of {steps}", fontsize=9)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def _points_animation(checkpoint: DenoiserCheckpoint, path: Path, device: torch.device) -> None:
    sampler, steps = _forming(checkpoint.config)
    states = _states(checkpoint, sampler, steps, POINTS, device)
    frames = []
    figure, axes = plt.subplots(figsize=(3.4, 3.4), dpi=90)
    for i in _spread(steps):
        axes.clear()
        _scatter(axes, checkpoint, states, i)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="rgba")  # raw pixels
        size = figure.canvas.get_width_height()
        frames.append(Image.frombytes("RGBA", size, buffer.getvalue()).convert("RGB").quantize(64))
    plt.close(figure)
    _animate(frames, path)


def _scatter(axes: Axes, checkpoint: DenoiserCheckpoint, states: list[Tensor], step: int) -> None:
    """Coloured by label, or by where they end, around which there is some room."""
    data, points, end = checkpoint.config.data, states[step], states[-1]
    far = data.standardise(end).norm(dim=1)
    colours = np.arange(len(points)) % len(data.labels) if data.labels else far
    axes.scatter(points[:, 0], points[:, 1], c=colours, cmap="viridis", s=2, linewidths=0)
    low, high = end.amin(0), end.amax(0)
    reach = ROOM * (high - low) / 2
    if data.one_unit:
        reach = reach.amax().expand(2)
    (left, bottom), (right, top) = ((low + high) / 2 - reach).tolist(), ((low + high) / 2 + reach).tolist()
    axes.set(xlim=(left, right), ylim=(bottom, top), box_aspect=1, xticks=[], yticks=[])


def _spread(steps: int) -> list[int]:
    return [int(step) for step in np.unique(np.linspace(0, steps, FRAMES).round())]


def _animate(frames: list[Image.Image], path: Path) -> None:
    """An APNG that loops; viewers that know none show its first frame."""
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)
