"""Pictures of samples: sheets, and how they form."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid, save_image

from model.checkpoint import Checkpoint, SamplingConfig
from model.classifier import ClassifierCheckpoint
from model.conditions import NO_LABEL, Conditions
from model.noise import normal, sample_seeds
from model.plan import Sampler, make_plan
from model.sample import sampling_states
from training.generate import Steering, generate, labelled
from training.pictures import plt
from training.report import grid

SHEET = 10  # samples a line
FORMING: dict[str, tuple[Sampler, int]] = {"points": ("ddpm", 100), "images": ("ddpm", 50)}
STILLS = (0, 10, 25, 50)  # steps done of FORMING's images: noise, step 10, the middle, the end
POINTS = 2_000
FRAMES = 26  # of an animation; the last one stays
FRAME_MS, LAST_MS = 80, 2000
MARGIN = dict(padding=2, pad_value=0.3)


def draw(checkpoint: Checkpoint, reports: Path, device: torch.device) -> list[str]:
    """The names of the pictures made, relative to `reports`. All of them are of seeds 0, 1, …: nothing is picked."""
    reports.mkdir(parents=True, exist_ok=True)
    if checkpoint.config.data.kind == "images":
        return [_by_steps(checkpoint, reports, device), *_digits_forming(checkpoint, reports, device)]
    return _points_forming(checkpoint, reports, device)


def draw_scales(checkpoint: Checkpoint, steers: ClassifierCheckpoint, reports: Path, device: torch.device) -> str:
    """The same seeds at more and more of the gradient: a line each scale, a column each label."""
    labels = np.arange(len(steers.config.data.labels))
    sampler, steps = grid.SCALES_AT
    options = SamplingConfig(sampler=sampler, steps=steps)
    lines = [
        generate(checkpoint, labelled(labels, options, Steering(steers, scale)), options, guide=steers, device=device)
        for scale in grid.SHEET_SCALES
    ]
    name = f"{checkpoint.config.name}-scales.png"
    save_image(torch.cat(lines).clamp(0, 255) / 255, reports / name, nrow=len(labels), **MARGIN)
    return name


def _states(checkpoint: Checkpoint, sampler: Sampler, steps: int, n: int, device: torch.device) -> list[Tensor]:
    """x at every step from the noise on, in the data's own units: steps + 1 times [n, …]."""
    data, config = checkpoint.config.data, checkpoint.config
    learned = sampler == "ddpm" and config.prediction.learned_variance
    plan = make_plan(checkpoint.schedule, sampler, steps, variance="learned" if learned else "fixed-small")
    labels = np.arange(n) % len(data.labels) if data.labels else np.full(n, NO_LABEL)
    conditions = Conditions(torch.from_numpy(labels), torch.full((n,), config.sampling.guidance_scale))
    seeds = torch.from_numpy(sample_seeds(0, n))
    states = [data.restore(normal(seeds, torch.zeros_like(seeds), data.shape))]  # what a run starts from
    for state in sampling_states(checkpoint.denoiser(device), plan, conditions, seeds, data.shape):
        states.append(data.restore(state.x).cpu())
    return states


def _by_steps(checkpoint: Checkpoint, reports: Path, device: torch.device) -> str:
    """The same seeds at more and more steps: a line each, by the card's sampler."""
    sampler = checkpoint.config.sampling.sampler
    lines = [_states(checkpoint, sampler, steps, SHEET, device)[-1] for steps in grid.STEPS]
    name = f"{checkpoint.config.name}-by-steps.png"
    save_image(torch.cat(lines).clamp(0, 255) / 255, reports / name, nrow=SHEET, **MARGIN)
    return name


def _digits_forming(checkpoint: Checkpoint, reports: Path, device: torch.device) -> list[str]:
    sampler, steps = FORMING["images"]
    states = _states(checkpoint, sampler, steps, 4 * SHEET, device)
    name = checkpoint.config.name
    stills = torch.cat([states[step][:SHEET] for step in STILLS])
    save_image(stills.clamp(0, 255) / 255, reports / f"{name}-forming.png", nrow=SHEET, **MARGIN)
    frames = [
        Image.fromarray((make_grid(states[i].clamp(0, 255) / 255, nrow=SHEET, **MARGIN)[0] * 255).byte().numpy())
        for i in _spread(steps)
    ]
    return [f"{name}-forming.png", _animation(frames, reports, name)]


def _points_forming(checkpoint: Checkpoint, reports: Path, device: torch.device) -> list[str]:
    """Noise, the middle and the end side by side; and all of the way."""
    sampler, steps = FORMING["points"]
    states = _states(checkpoint, sampler, steps, POINTS, device)
    name, labels = checkpoint.config.name, checkpoint.config.data.labels
    colours = np.arange(POINTS) % len(labels) if labels else np.linalg.norm(states[-1], axis=1)
    reach = float(states[-1].abs().max()) * 1.3
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.5), dpi=110)
    for panel, step, title in zip(panels, (0, steps // 2, steps), ("noise", "middle", "end"), strict=True):
        _scatter(panel, states[step], colours, reach)
        panel.set_title(f"{title}: step {step} of {steps}", fontsize=9)
    figure.savefig(reports / f"{name}-forming.png", bbox_inches="tight")
    plt.close(figure)

    frames = []
    figure, axes = plt.subplots(figsize=(3.4, 3.4), dpi=90)
    for i in _spread(steps):
        axes.clear()
        _scatter(axes, states[i], colours, reach)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(64))
    plt.close(figure)
    return [f"{name}-forming.png", _animation(frames, reports, name)]


def _scatter(axes, points: Tensor, colours: np.ndarray, reach: float) -> None:
    axes.scatter(points[:, 0], points[:, 1], c=colours, cmap="viridis", s=2, linewidths=0)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])


def _spread(steps: int) -> list[int]:
    return np.unique(np.linspace(0, steps, FRAMES).round().astype(int)).tolist()


def _animation(frames: list[Image.Image], reports: Path, name: str) -> str:
    """An APNG that loops; viewers that know none show its first frame."""
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    path = reports / f"{name}-forming-animated.png"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)
    return path.name
