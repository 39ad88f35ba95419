"""The tensors: every model, every job's rows, and what one tick does to them. Lives on the engine's thread."""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.checkpoints.base import Precision
from model.conditions import Conditioning, Conditions, HintKind
from model.data import DataConfig, to_uint8
from model.denoiser import Denoiser
from model.noise import normal
from model.step import step
from service.engine.arena import Arena
from service.engine.job import Job, Preview
from service.engine.plan_table import PlanTable
from service.engine.row_functions import ReadyFunction, RowFunctions
from service.engine.served_model import Served, what_computes
from service.engine.slices import Slice
from service.engine.speed_curve import SpeedCurve


@dataclass(eq=False)
class Model:
    """A checkpoint made ready to run. `curve` has the batch sizes it is run at; a row's bits agree across them."""

    served: Served
    data: DataConfig
    denoiser: Denoiser
    network: ReadyFunction
    gradients: Mapping[Conditioning, ReadyFunction]
    controls: Mapping[HintKind, ReadyFunction]
    weak: ReadyFunction | None
    curve: SpeedCurve
    arena: Arena

    @property
    def name(self) -> str:
        return self.served.name


class Runner:
    """Rows in, samples out, one vectorised update a tick."""

    def __init__(self, device: torch.device, functions: RowFunctions):
        self.device = device
        self.models: dict[str, Model] = {}
        self._functions = functions
        self._gradients: dict[bytes, ReadyFunction] = {}  # by what computes them: a reload reads the same ones anew
        self._plans = PlanTable()
        self._jobs: dict[int, Job] = {}  # those that hold rows

    def load(self, key: str, served: Served, precision: Precision) -> Generator[None, None, None]:
        """Put a model on the device, and find out how fast it is at each batch size.

        Yields after each pass, so that the rows of other models need not wait for all of them.
        """
        checkpoint = served.checkpoint
        gradients = {}
        for asked, guidance_model in served.guidance_models.items():
            gradient = self._gradients.get(what_computes(guidance_model))  # once for all the models that it guides
            if gradient is None:
                gradient = yield from self._functions.ready(guidance_model, "float32")
            gradients[asked] = gradient
        controls = {}
        for kind, control in served.controls.items():
            controls[kind] = yield from self._functions.ready(control, precision)
        weak = None
        if served.weak is not None:
            weak = yield from self._functions.ready(served.weak, precision)
        network = yield from self._functions.ready(checkpoint, precision)
        denoiser = checkpoint.denoiser(
            self.device,
            gradients={asked: one.call for asked, one in gradients.items()},
            controls={kind: one.call for kind, one in controls.items()},
            network=network.call,
            weak=None if weak is None else weak.call,
        )
        if network.is_compiled and served.controls:  # what a hint adds is another graph
            kind, control = next(iter(served.controls.items()))
            for size in network.seconds:
                hinted = Conditions.alike(size, guidance_scale=1.0).with_hints(control.example(), kind, 1.0)
                _pass(denoiser, checkpoint.data.shape, hinted)
                yield
        self.models[key] = Model(
            served, checkpoint.data, denoiser, network, gradients, controls, weak,
            curve=SpeedCurve(network.seconds, any_size=network.any_size),
            arena=Arena(checkpoint.data.shape, self.device),
        )  # fmt: skip
        self._gradients |= {what_computes(one): gradients[asked] for asked, one in served.guidance_models.items()}

    def unload(self, key: str) -> None:
        """Free the memory of a model that holds no rows, and of the guidance models that guided it alone."""
        del self.models[key]
        served = [model.served for model in self.models.values()]
        in_use = {what_computes(one) for each in served for one in each.guidance_models.values()}
        self._gradients = {one: gradient for one, gradient in self._gradients.items() if one in in_use}

    @torch.inference_mode()
    def tick(self, model_name: str, jobs: Mapping[int, Job], slices: Sequence[Slice]) -> set[int]:
        """Move the slices' rows one step on. Returns the jobs in which a value became not finite.

        All or nothing: where it raises, no row has changed.
        """
        model = self.models[model_name]
        arena = model.arena
        for piece in slices:
            if piece.job not in arena:  # a job takes memory when it first runs, not when it is queued
                self._begin(piece.job, jobs[piece.job], arena)

        selection = arena.select(slices)
        rows, index, conditions = selection.rows, selection.index, selection.conditions
        counts = [len(piece) for piece in slices]
        steps = np.repeat([piece.step for piece in slices], counts)
        plan_rows = arena.plan_row[rows] + steps
        if (inverts := self._plans.inverts[plan_rows]).any():
            conditions = conditions.inverting(torch.from_numpy(inverts)).compact()
        coefficients = torch.from_numpy(self._plans.coefficients[plan_rows]).to(self.device)
        x, x0_before = arena.x.index_select(0, index), arena.x0.index_select(0, index)

        t, s = (torch.from_numpy(column[plan_rows]) for column in (self._plans.t, self._plans.s))
        prediction = model.denoiser(x, t, conditions, s, x0_before)

        noise = torch.zeros_like(x)
        noisy = np.flatnonzero(self._plans.stochastic[plan_rows])
        if len(noisy):
            seeds = torch.from_numpy(arena.seed[rows[noisy]]).to(self.device)
            numbers = torch.from_numpy(steps[noisy] + 1).to(self.device)
            noise[torch.from_numpy(noisy).to(self.device)] = normal(seeds, numbers, model.data.shape)

        x, x0 = step(x, prediction, x0_before, noise, coefficients)
        arena.x.index_copy_(0, index, x)
        arena.x0.index_copy_(0, index, x0)
        if math.isfinite((x - x0).abs().max().item()):  # a value that is not spreads to the difference and its maximum
            return set()
        finite = (x.isfinite() & x0.isfinite()).flatten(1).all(1).cpu().numpy()
        return set(np.repeat([piece.job for piece in slices], counts)[~finite].tolist())

    def take(self, number: int) -> np.ndarray:
        """A finished job's samples, in the data's own units (see `Samples.data`); its rows are freed."""
        job = self._jobs[number]
        arena = self.models[job.model].arena
        samples = self._in_own_units(job, arena.x[arena.span(number)])
        self.drop(number)
        return samples

    def preview(self, number: int, step: int) -> Preview:
        """A job as of now, after so many steps: the last x̂0 of every row, and x_t."""
        job = self._jobs[number]
        arena = self.models[job.model].arena
        span = arena.span(number)
        return Preview(step, self._in_own_units(job, arena.x0[span]), self._in_own_units(job, arena.x[span]))

    def drop(self, number: int) -> None:
        """Free a job's rows; nothing happens where it has none."""
        job = self._jobs.pop(number, None)
        if job is not None:
            self.models[job.model].arena.remove(number)

    def check(self, name: str) -> None:
        """One pass of a model over nothing in particular. Raises where the device does not compute any more."""
        model = self.models[name]
        _pass(model.denoiser, model.data.shape, Conditions.none(model.curve.sizes[0]))

    def _begin(self, number: int, job: Job, arena: Arena) -> None:
        if self._plans.overgrown:
            self._plans.keep({job.plan for job in self._jobs.values()})
            for other, running in self._jobs.items():
                its_arena = self.models[running.model].arena
                its_arena.plan_row[its_arena.span(other)] = self._plans.first_row(running.plan)
        arena.add(number, job, self._plans.first_row(job.plan))
        self._jobs[number] = job

    def _in_own_units(self, job: Job, x: Tensor) -> np.ndarray:
        data = self.models[job.model].data
        restored = data.restore(x)
        return to_uint8(restored) if data.kind == "images" else restored.cpu().numpy()


@torch.inference_mode()
def _pass(denoiser: Denoiser, shape: tuple[int, ...], conditions: Conditions) -> None:
    """One, of nothing in particular, done when this returns."""
    x = torch.zeros(len(conditions), *shape, device=denoiser.device)
    t = torch.ones(len(conditions), dtype=torch.int64)
    denoiser(x, t, conditions).x0.sum().item()
