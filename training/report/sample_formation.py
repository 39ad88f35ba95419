"""Pictures of how samples form: more and more steps, stills of a run, and animations."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from model.checkpoints.denoiser import DenoiserCheckpoint, DenoiserConfig
from model.conditions import NO_LABEL
from model.noise import normal, sample_seeds
from model.plan import make_plan
from model.samplers import SAMPLERS
from model.sampling_loop import sampling_states
from training.generate import labelled
from training.plotting import plt
from training.report import grid
from training.report.image_grid import SAMPLES_A_LINE, Draw, save_sheet, sheet
from training.report.pipeline import Pipeline

FORMING: dict[str, tuple[str, int]] = {"points": ("ddpm", 100), "images": ("ddpm", 50)}
STILLS = (0, 10, 25)  # steps done of FORMING's images, before the end: noise, step 10, the middle
POINTS = 2_000
ROOM = 1.3  # around points, as a multiple of how far they reach
FRAMES = 26  # of an animation; the last one stays
FRAME_MS, LAST_MS = 80, 2000


def of_steps(pipeline: Pipeline, device: torch.device) -> dict[str, tuple[str, Draw]]:
    """Caption → (name, picture): samples in more and more steps, and how they form."""
    checkpoint, config = pipeline.checkpoint, pipeline.checkpoint.config
    sampler, steps = _forming(config)
    forming, animated = pipeline.picture("forming"), pipeline.picture("forming-animated")
    if config.data.kind == "points":
        if len(config.data.columns) != 2:
            return {}
        colour = "label" if config.data.labels else "how far from the middle they end"
        return {
            f"How they form, {sampler}, {steps} steps; coloured by {colour}:": (
                forming, lambda path: _points_stills(checkpoint, path, device),
            ),
            "The same, moving:": (animated, lambda path: _points_animation(checkpoint, path, device)),
        }  # fmt: skip
    noisy = SAMPLERS[config.sampling.sampler].stochastic
    more = f"The same seeds at {_listed(_more_steps(config))} steps of {config.sampling.sampler}" + (
        ", whose noise is new at each step, so a seed gives another sample in another number of steps:"
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


def _forming(config: DenoiserConfig) -> tuple[str, int]:
    sampler, steps = FORMING[config.data.kind]
    return sampler, min(steps, config.schedule.T)


def _stills(steps: int) -> list[int]:
    return [*(done for done in STILLS if done < steps), steps]


def _more_steps(config: DenoiserConfig) -> list[int]:
    return [steps for steps in grid.STEPS if steps <= config.schedule.T] or [config.schedule.T]


def _listed(numbers: Sequence[int]) -> str:
    *others, last = map(str, numbers)
    return " and ".join([*([", ".join(others)] if others else []), last])


def _states(checkpoint: DenoiserCheckpoint, sampler: str, steps: int, n: int, device: torch.device) -> list[Tensor]:
    """x at every step from the noise on, in the data's own units: steps + 1 times [n, …]."""
    data, config = checkpoint.config.data, checkpoint.config
    plan = make_plan(checkpoint.schedule, sampler, steps, variance=config.sampling.variance)
    labels = np.arange(n) % len(data.labels) if data.labels else np.full(n, NO_LABEL)
    conditions = labelled(labels, config.sampling)
    seeds = torch.from_numpy(sample_seeds(0, n))
    states = [data.restore(normal(seeds, torch.zeros_like(seeds), data.shape))]  # what a run starts from
    for state in sampling_states(checkpoint.denoiser(device), plan, conditions, seeds, data.shape):
        states.append(data.restore(state.x).cpu())
    return states


def _by_steps(checkpoint: DenoiserCheckpoint, path: Path, device: torch.device) -> None:
    """The same seeds at more and more steps: a line each, by the card's sampler."""
    sampler = checkpoint.config.sampling.sampler
    lines = [
        _states(checkpoint, sampler, steps, SAMPLES_A_LINE, device)[-1] for steps in _more_steps(checkpoint.config)
    ]
    save_sheet(torch.cat(lines), path, columns=SAMPLES_A_LINE)


def _image_stills(checkpoint: DenoiserCheckpoint, path: Path, device: torch.device) -> None:
    sampler, steps = _forming(checkpoint.config)
    states = _states(checkpoint, sampler, steps, SAMPLES_A_LINE, device)
    save_sheet(torch.cat([states[step] for step in _stills(steps)]), path, columns=SAMPLES_A_LINE)


def _image_animation(checkpoint: DenoiserCheckpoint, path: Path, device: torch.device) -> None:
    sampler, steps = _forming(checkpoint.config)
    states = _states(checkpoint, sampler, steps, 4 * SAMPLES_A_LINE, device)
    sheets = (sheet(states[i], columns=SAMPLES_A_LINE) for i in _spread(steps))
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
