"""The tensors: every model, every job's rows, and what one tick does to them. Lives on the engine's thread."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
import torch
from torch import Tensor

from model.checkpoints.base import Precision
from model.checkpoints.guidance_model import GuidanceModel
from model.compilation import compiled
from model.conditions import Conditions
from model.data import DataConfig, to_uint8
from model.denoiser import Denoiser
from model.noise import normal
from model.step import step
from service.engine.arena import Arena
from service.engine.buckets import BucketedNetwork, ResultT
from service.engine.job import Job
from service.engine.plan_table import PlanTable
from service.engine.scheduler import Slice
from service.engine.served_model import Served
from service.engine.speed_curve import SpeedCurve

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Model:
    """A checkpoint made ready to run. `curve` has the batch sizes it is run at; a row's bits agree across them."""

    served: Served
    data: DataConfig
    denoiser: Denoiser
    precision: Precision
    curve: SpeedCurve
    arena: Arena

    @property
    def name(self) -> str:
        return self.served.name


class Runner:
    """Rows in, samples out, one vectorised update a tick."""

    def __init__(self, device: torch.device, compiled: bool = False):
        self.device = device
        self.models: dict[str, Model] = {}
        self._compiled = compiled
        self._gradients: dict[GuidanceModel, BucketedNetwork[Tensor]] = {}
        self._plans = PlanTable()
        self._jobs: dict[int, Job] = {}  # those that hold rows

    def load(
        self, key: str, served: Served, precision: Precision, sizes: tuple[int, ...]
    ) -> Generator[None, None, None]:
        """Put a model on the device, find out at which batch sizes its bits agree, and how fast it is at each.

        Yields after each pass, so that the rows of other models need not wait for all of them.
        """
        checkpoint = served.checkpoint
        data, T = checkpoint.config.data, checkpoint.schedule.T
        gradients = {}
        for asked, guidance_model in served.guidance_models.items():
            gradients[asked] = yield from self._gradient(guidance_model, sizes)
        example = checkpoint.example()
        controls = {
            kind: self._bucketed(control.control(self.device, precision), sizes, example)
            for kind, control in served.controls.items()
        }
        denoiser = checkpoint.denoiser(
            self.device, precision, gradients, controls, wrap=lambda network: self._bucketed(network, sizes, example)
        )
        for kind, control in served.controls.items():
            yield from self._keep_sizes(control.name, controls[kind], data, T, control.example())
        assert isinstance(denoiser.network, BucketedNetwork)
        scale = (torch.ones(()),) if denoiser.guides_itself else ()
        seconds = yield from self._keep_sizes(served.name, denoiser.network, data, T, *scale)
        if self._compiled and served.controls:  # what a hint adds is another graph
            kind, control = next(iter(served.controls.items()))
            for size in seconds:
                hinted = Conditions.alike(size, guidance_scale=1.0).with_hints(control.example(), kind, 1.0)
                _pass(denoiser, data.shape, hinted)
                yield
        self.models[key] = Model(served, data, denoiser, precision, SpeedCurve(seconds), Arena(data.shape, self.device))

    def unload(self, key: str) -> None:
        """Free the memory of a model that holds no rows, and of the guidance models that guided it alone."""
        del self.models[key]
        in_use = {id(one) for model in self.models.values() for one in model.denoiser.gradients.values()}
        self._gradients = {guidance_model: one for guidance_model, one in self._gradients.items() if id(one) in in_use}

    def _gradient(
        self, guidance_model: GuidanceModel, sizes: tuple[int, ...]
    ) -> Generator[None, None, BucketedNetwork[Tensor]]:
        """The guidance model's gradient, made ready once for all the models that it guides."""
        if guidance_model not in self._gradients:
            gradient = BucketedNetwork(guidance_model.gradient(self.device), sizes, guidance_model.example())
            yield from self._keep_sizes(guidance_model.name, gradient, guidance_model.data, guidance_model.schedule.T)
            self._gradients[guidance_model] = gradient
        return self._gradients[guidance_model]

    def _bucketed(
        self, network: Callable[..., ResultT], sizes: tuple[int, ...], example: Tensor
    ) -> BucketedNetwork[ResultT]:
        """The network as it is run, compiled where that is asked for."""
        return BucketedNetwork(compiled(network) if self._compiled else network, sizes, example)

    def _keep_sizes(
        self, name: str, network: BucketedNetwork[ResultT], data: DataConfig, T: int, *more: Tensor
    ) -> Generator[None, None, dict[int, float]]:
        """Keep the sizes at which a row's bits agree; returns the seconds of a pass at each."""
        count = len(network.sizes)
        seconds = yield from network.keep_bit_equal_sizes(data.shape, T, self.device, *more)
        if len(seconds) < count:
            log.info("batch sizes dropped: rows differ there in the last bits", network=name, kept=tuple(seconds))
        return seconds

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

        rows = arena.rows(slices)  # of the arena
        counts = [len(piece) for piece in slices]
        steps = np.repeat([piece.step for piece in slices], counts)
        plan_rows = arena.plan_row[rows] + steps
        conditions = arena.conditions[torch.from_numpy(rows)].compact()
        index = torch.from_numpy(rows).to(self.device)
        coefficients = torch.from_numpy(self._plans.coefficients[plan_rows]).to(self.device)
        x, x0_before = arena.x[index], arena.x0[index]

        prediction = model.denoiser(x, torch.from_numpy(self._plans.t[plan_rows]), conditions)

        noise = torch.zeros_like(x)
        noisy = np.flatnonzero(self._plans.stochastic[plan_rows])
        if len(noisy):
            seeds = torch.from_numpy(arena.seed[rows[noisy]]).to(self.device)
            numbers = torch.from_numpy(steps[noisy] + 1).to(self.device)
            noise[torch.from_numpy(noisy).to(self.device)] = normal(seeds, numbers, model.data.shape)

        x, x0 = step(x, prediction, x0_before, noise, coefficients)
        finite = (x.isfinite() & x0.isfinite()).flatten(1).all(1).cpu().numpy()
        arena.x[index], arena.x0[index] = x, x0
        return set() if finite.all() else set(np.repeat([piece.job for piece in slices], counts)[~finite].tolist())

    def take(self, number: int) -> np.ndarray:
        """A finished job's samples, in the data's own units (see `Samples.data`); its rows are freed."""
        job = self._jobs[number]
        arena = self.models[job.model].arena
        samples = self._in_own_units(job, arena.x[arena.span(number)])
        self.drop(number)
        return samples

    def preview(self, number: int) -> np.ndarray:
        """What a job's samples look like as of now: the last x̂0 of every row."""
        job = self._jobs[number]
        arena = self.models[job.model].arena
        return self._in_own_units(job, arena.x0[arena.span(number)])

    def drop(self, number: int) -> None:
        """Free a job's rows; nothing happens where it has none."""
        job = self._jobs.pop(number, None)
        if job is not None:
            self.models[job.model].arena.remove(number)

    @property
    def rows_held(self) -> int:
        return sum(len(job) for job in self._jobs.values())

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
