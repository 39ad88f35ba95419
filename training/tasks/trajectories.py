"""Runs of a guided teacher, stored: what a student learns to jump along (Luhman & Luhman 2021)."""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.weights import fingerprint
from model.conditions import NO_LABEL, Conditions
from model.data import DataConfig
from model.noise import normal, sample_seeds
from model.plan import make_plan
from model.sampling_loop import sampling_states
from model.text_encoder import TextEncoder
from model.timestep_spacing import trailing_timesteps
from training.data.cache import alone_in, cache_dir
from training.data.captions import CaptionedSet
from training.data.training_set import Examples, TrainingSet
from training.recipe import FlowMapSection

VERSION = 2  # of how they are made: a new number makes them be made again
SEGMENTS = 4  # a run is kept where plans of 1, 2 and 4 steps stop
SAMPLER = "dpmpp-2m"
BATCH = 256  # runs side by side


@dataclass(frozen=True, eq=False)
class Trajectories:
    """
    x          [n, SEGMENTS + 1, …] float16 in the network's range: at the timesteps of `grid`, the noise first
    condition  what the teacher reads: labels [n] int64, those of classes or clusters, or NO_LABEL; or the vectors of
               prompts [n, d] float32, or zeros
    scales     [n] float32, the guidance scale of each run; 1 without a label or a prompt
    """

    x: Tensor
    condition: Tensor
    scales: Tensor

    def __len__(self) -> int:
        return len(self.scales)


def grid(T: int) -> NDArray[np.int64]:
    """[SEGMENTS + 1]: the timesteps at which a run is kept, from T down to 0."""
    return trailing_timesteps(T, SEGMENTS)


def draw_labels(n: int, labels: int, section: FlowMapSection, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(labels [n] int64, scales [n] float32) of n runs. Labels are drawn evenly; a dropped one has scale 1."""
    label = torch.randint(labels, (n,), generator=generator) if labels else torch.full((n,), NO_LABEL)
    dropped, scale = _drawn(n, section, generator)
    label = torch.where(dropped, NO_LABEL, label)
    return label, torch.where(label == NO_LABEL, 1.0, scale)


def draw_prompts(
    n: int, captioned: CaptionedSet, encoder: TextEncoder, section: FlowMapSection, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(text vectors [n, d] float32, scales [n] float32) of n runs. Prompts are captions of random training rows; a
    dropped one has scale 1."""
    vocabulary, text = captioned.vocabulary, []
    for first in range(0, n, BATCH):
        _, traits = captioned.draw(min(BATCH, n - first), generator)
        captions = captioned.captions_of(traits, generator)
        text.append(encoder.embed([vocabulary.read(caption.text) for caption in captions]))
    dropped, scale = _drawn(n, section, generator)
    return torch.where(dropped.unsqueeze(1), 0.0, torch.cat(text)), torch.where(dropped, 1.0, scale)


def _drawn(n: int, section: FlowMapSection, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(whether the condition is dropped [n] bool, the scale if it is not [n] float32)"""
    dropped = torch.rand(n, generator=generator) < section.label_drop
    low, high = section.guidance_range
    return dropped, low + (high - low) * torch.rand(n, generator=generator)


def run_teacher(
    teacher: DenoiserCheckpoint,
    section: FlowMapSection,
    seed: int,
    device: torch.device | str = "cpu",
    captioned: CaptionedSet | None = None,
) -> Trajectories:
    """The runs: run i starts from the noise of the seed 2³²·`seed` + i, as a sample of that seed does.

    captioned  what a teacher that reads prompts was trained on
    """
    n, data, generator = section.trajectories, teacher.config.data, torch.Generator().manual_seed(seed)
    if teacher.text is None:
        condition, scales = draw_labels(n, teacher.config.classes, section, generator)
        conditions = Conditions(condition, scales)
    else:
        assert captioned is not None, "a teacher that reads prompts was trained on captions"
        condition, scales = draw_prompts(n, captioned, teacher.text, section, generator)
        conditions = Conditions(torch.full((n,), NO_LABEL), scales, text=condition)
    seeds = torch.from_numpy(sample_seeds(seed * 2**32, n))
    plan = make_plan(teacher.schedule, SAMPLER, SEGMENTS * section.teacher_steps)
    denoiser = teacher.denoiser(device, precision=section.precision)
    x = torch.empty(n, SEGMENTS + 1, *data.shape, dtype=torch.float16)
    if section.guidance_interval is not None:
        interval = torch.tensor(section.guidance_interval, dtype=torch.float64).expand(n, -1)
        conditions = replace(conditions, guidance_interval=interval)
    with Progress(transient=True) as progress:
        task = progress.add_task(f"runs of {teacher.config.name}", total=n)
        for first in range(0, n, BATCH):
            rows = slice(first, min(first + BATCH, n))
            x[rows, 0] = normal(seeds[rows], torch.zeros_like(seeds[rows]), data.shape).half()
            for state in sampling_states(denoiser, plan, conditions[rows], seeds[rows], data.shape):
                segment, within = divmod(state.step, section.teacher_steps)
                if not within:
                    x[rows, segment] = state.x.half().cpu()
            progress.advance(task, rows.stop - rows.start)
    return Trajectories(x, condition, scales)


def stored_runs(
    teacher: DenoiserCheckpoint,
    section: FlowMapSection,
    seed: int,
    device: torch.device | str = "cpu",
    captioned: CaptionedSet | None = None,
) -> Trajectories:
    """The same from the cache, where they are kept when they have been made once."""
    networks = [teacher.network] if teacher.text is None else [teacher.network, teacher.text.network]
    weights = [fingerprint(one) for one in networks]
    made_by = (VERSION, *weights, section.of_the_runs(), seed)
    home = cache_dir() / "trajectories"
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{teacher.config.name}-{hashlib.sha256(repr(made_by).encode()).hexdigest()[:16]}.safetensors"
    with alone_in(home):
        if not path.is_file():
            _store(path, run_teacher(teacher, section, seed, device, captioned))
        return Trajectories(**load_file(path))


def _store(path: Path, runs: Trajectories) -> None:
    """By an atomic rename."""
    partial = path.with_suffix(".partial")
    save_file({"x": runs.x, "condition": runs.condition, "scales": runs.scales}, partial)
    os.replace(partial, path)


class TrajectorySet:
    """A `TrainingSet` of a teacher's runs instead of real rows. They are made, or read, when the first are drawn.

    real  what the teacher was trained on, with captions where it reads prompts
    """

    def __init__(self, teacher: DenoiserCheckpoint, real: TrainingSet, section: FlowMapSection, seed: int):
        self._teacher, self._real, self._section, self._seed = teacher, real, section, seed
        self._runs: Trajectories | None = None

    @property
    def config(self) -> DataConfig:
        return self._real.config

    @property
    def examples(self) -> Examples | None:
        return None

    @property
    def held_out(self) -> Examples:
        return self._real.held_out

    @property
    def runs(self) -> Trajectories:
        if self._runs is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
            captioned = None if self._teacher.text is None else cast(CaptionedSet, self._real)
            self._runs = stored_runs(self._teacher, self._section, self._seed, device, captioned)
        return self._runs

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(x [rows, SEGMENTS + 1, …] float32 in the network's range, numbers of the runs [rows] int64)"""
        index = torch.randint(len(self.runs), (rows,), generator=generator)
        return self.runs.x[index].float(), index
