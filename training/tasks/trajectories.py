"""Runs of a guided teacher, stored: what a student learns to jump along (Luhman & Luhman 2021)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from model.data import DataConfig
from model.noise import normal, sample_seeds
from model.plan import make_plan
from model.sampling_loop import sampling_states
from model.timestep_spacing import trailing_timesteps
from training.data.stored_tensors import StoredTensors
from training.data.training_set import Examples, FiniteSet
from training.flow_map_section import FlowMapSection
from training.tasks.teacher import Teacher

VERSION = 3  # of how they are made: a new number makes them be made again
SEGMENTS = 4  # a run is kept where plans of 1, 2 and 4 steps stop
SAMPLER = "dpmpp-2m"
BATCH = 256  # runs side by side
FIRST_RUN = 2**31  # of the 2³² seeds that belong to a recipe's seed: no measurement of that seed has so many samples


@dataclass(frozen=True, eq=False)
class Trajectories:
    """
    x          [n, SEGMENTS + 1, …] float16 in the network's range: at the timesteps of `grid`, the noise first
    condition  what the teacher reads: labels [n] int64, those of classes or clusters, or NO_LABEL; or the vectors of
               prompts [n, d] float32, or zeros
    scales     [n] float32, the guidance scale of each run; 1 without a label, a prompt or a hint
    hints      [n, 1, H, W] uint8 in 0 … 255, which runs follow; None where they follow none
    """

    x: Tensor
    condition: Tensor
    scales: Tensor
    hints: Tensor | None = None

    def __len__(self) -> int:
        return len(self.scales)

    def given(self, runs: Tensor, device: torch.device) -> tuple[Tensor, ...]:
        """What a student reads of the runs [k] int64 besides x, t and s: their conditions, scales, and hints in 0 … 1
        where they have some."""
        columns = (self.condition, self.scales, *(() if self.hints is None else (self.hints,)))
        condition, scales, *hints = (column[runs].to(device) for column in columns)
        return condition, scales, *(hint.float() / 255 for hint in hints)


def grid(T: int) -> NDArray[np.int64]:
    """[SEGMENTS + 1]: the timesteps at which a run is kept, from T down to 0."""
    return trailing_timesteps(T, SEGMENTS)


def run_teacher(
    teacher: Teacher, section: FlowMapSection, seed: int, device: torch.device | str = "cpu"
) -> Trajectories:
    """The runs: run i starts from the noise of the seed 2³²·`seed` + FIRST_RUN + i, as a sample of that seed does.

    Measurements begin at 2³²·(their seed), so a student is never measured on noise that it was trained on.
    """
    n, denoiser, control = section.trajectories, teacher.denoiser, teacher.control
    conditions = teacher.conditions(n, section, torch.Generator().manual_seed(seed))
    seeds = torch.from_numpy(sample_seeds(seed * 2**32 + FIRST_RUN, n))
    plan = make_plan(denoiser.schedule, SAMPLER, SEGMENTS * section.teacher_steps)
    precision = section.on(device).precision
    controls = {} if control is None else {control.hint: control.control(device, precision)}
    predict = denoiser.denoiser(device, controls=controls, precision=precision)
    shape = denoiser.config.data.shape
    x = torch.empty(n, SEGMENTS + 1, *shape, dtype=torch.float16)
    with Progress(transient=True) as progress:
        task = progress.add_task(f"runs of {denoiser.config.name}", total=n)
        for first in range(0, n, BATCH):
            rows = slice(first, min(first + BATCH, n))
            x[rows, 0] = normal(seeds[rows], torch.zeros_like(seeds[rows]), shape).half()
            for state in sampling_states(predict, plan, conditions[rows], seeds[rows], shape):
                segment, within = divmod(state.step, section.teacher_steps)
                if not within:
                    x[rows, segment] = state.x.half().cpu()
            progress.advance(task, rows.stop - rows.start)
    condition = conditions.label if conditions.text is None else conditions.text
    hints = None if conditions.hints is None else (255 * conditions.hints.image).round().to(torch.uint8)
    return Trajectories(x, condition, conditions.guidance_scale, hints)


def stored_runs(
    teacher: Teacher, section: FlowMapSection, seed: int, device: torch.device | str = "cpu"
) -> Trajectories:
    """The same from the cache, where they are kept when they have been made once."""
    made_by = (VERSION, *teacher.identity, section.on(device).of_the_runs(), seed)
    name = (teacher.control or teacher.denoiser).config.name

    def make() -> Mapping[str, Tensor]:
        runs = run_teacher(teacher, section, seed, device)
        columns = {field.name: getattr(runs, field.name) for field in fields(runs)}
        return {name: column for name, column in columns.items() if column is not None}

    return Trajectories(**StoredTensors(f"runs of {name}", made_by).get(make))


class TrajectorySet:
    """A `TrainingSet` of a teacher's runs instead of real rows. They are made, or read, when the first are drawn."""

    def __init__(self, teacher: Teacher, section: FlowMapSection, seed: int):
        self._teacher, self._section, self._seed = teacher, section, seed
        self._runs: Trajectories | None = None

    @property
    def config(self) -> DataConfig:
        return self._teacher.real.config

    @property
    def examples(self) -> Examples | None:
        return None

    @property
    def held_out(self) -> Examples:
        return self._teacher.real.held_out

    @property
    def real(self) -> FiniteSet | None:
        return self._teacher.real.real

    @property
    def runs(self) -> Trajectories:
        if self._runs is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
            self._runs = stored_runs(self._teacher, self._section, self._seed, device)
        return self._runs

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(x [rows, SEGMENTS + 1, …] float32 in the network's range, numbers of the runs [rows] int64)"""
        index = torch.randint(len(self.runs), (rows,), generator=generator)
        return self.runs.x[index].float(), index
