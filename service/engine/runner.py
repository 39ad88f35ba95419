"""The tensors: every model, every job's rows, and what one tick does to them. Lives on the engine's thread."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
import torch
from torch import Tensor

from model.checkpoint import Checkpoint, Precision
from model.data import DataConfig, to_uint8
from model.denoiser import NO_LABEL, Conditions, Denoiser
from model.noise import normal
from model.plan import COLUMNS
from model.step import step
from service.engine.buckets import BucketedNetwork, bit_equal_sizes
from service.engine.job import Job
from service.engine.scheduler import Slice

log = structlog.get_logger(__name__)

_LEARNED, _NOISE = COLUMNS.index("learned"), COLUMNS.index("noise")


@dataclass(eq=False)
class Model:
    """A checkpoint made ready to run.

    sizes               batch sizes it is run at; a row's bits agree across them
    evaluations_per_second  measured at the largest size when it was warmed up
    """

    data: DataConfig
    denoiser: Denoiser
    precision: Precision
    sizes: tuple[int, ...]
    evaluations_per_second: float


@dataclass(eq=False)
class _Rows:
    """A job's rows: x_t and the last x̂0, [n, …] each on the device; the rest on the host."""

    job: Job
    x: Tensor
    x0: Tensor
    seeds: Tensor
    labels: Tensor
    coefficients: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.coefficients = self.job.plan.coefficients.astype(np.float32)


class Runner:
    """Rows in, samples out, one vectorised update a tick."""

    def __init__(self, device: torch.device):
        self.device = device
        self.models: dict[str, Model] = {}
        self._rows: dict[int, _Rows] = {}

    def load(self, name: str, checkpoint: Checkpoint, precision: Precision, sizes: tuple[int, ...]) -> None:
        """Put a model on the device, find out at which batch sizes its bits agree, and warm it up there."""
        data, T = checkpoint.config.data, checkpoint.schedule.T
        plain = checkpoint.denoiser(self.device, precision).network
        agreeing = bit_equal_sizes(plain, sizes, data.shape, T, self.device)
        if agreeing != tuple(sorted(sizes)):
            log.warning("batch sizes dropped: rows differ there in the last bits", model=name, kept=agreeing)
        denoiser = checkpoint.denoiser(self.device, precision, lambda network: BucketedNetwork(network, agreeing))
        rate = _evaluations_per_second(denoiser, data.shape, agreeing[-1])
        self.models[name] = Model(data, denoiser, precision, agreeing, rate)

    @torch.inference_mode()
    def tick(self, model_name: str, jobs: Mapping[int, Job], slices: Sequence[Slice]) -> set[int]:
        """Move the slices' rows one step on. Returns the jobs in which a value became not finite.

        All or nothing: where it raises, no row has changed.
        """
        model = self.models[model_name]
        parts = [self._rows_of(piece.job, jobs[piece.job], model) for piece in slices]
        spans = [slice(piece.start, piece.stop) for piece in slices]
        counts = [len(piece) for piece in slices]

        def gather(tensors: Sequence[Tensor]) -> Tensor:
            return torch.cat([tensor[span] for tensor, span in zip(tensors, spans, strict=True)])

        def spread(values: Sequence) -> np.ndarray:
            return np.repeat(np.asarray(values), counts, axis=0)

        x, x0_before = gather([part.x for part in parts]), gather([part.x0 for part in parts])
        t = spread([part.job.plan.t[piece.step] for part, piece in zip(parts, slices, strict=True)])
        coefficients = spread([part.coefficients[piece.step] for part, piece in zip(parts, slices, strict=True)])
        scale = spread([np.float32(part.job.guidance_scale) for part in parts])
        conditions = Conditions(gather([part.labels for part in parts]), torch.from_numpy(scale))

        prediction = model.denoiser(x, torch.from_numpy(t).to(self.device), conditions)

        noise = torch.zeros_like(x)
        noisy = np.flatnonzero((coefficients[:, _NOISE] > 0) | (coefficients[:, _LEARNED] > 0))
        if len(noisy):
            index = torch.from_numpy(noisy)
            seeds = gather([part.seeds for part in parts])[index].to(self.device)
            steps = torch.from_numpy(spread([piece.step + 1 for piece in slices]))[index].to(self.device)
            noise[index.to(self.device)] = normal(seeds, steps, tuple(x.shape[1:]))

        x = step(x, prediction, x0_before, noise, torch.from_numpy(coefficients).to(self.device))

        finite = (x.isfinite() & prediction.x0.isfinite()).flatten(1).all(1).cpu().numpy()
        begin = 0
        failed = set()
        for part, span, piece, count in zip(parts, spans, slices, counts, strict=True):
            end = begin + count
            part.x[span], part.x0[span] = x[begin:end], prediction.x0[begin:end]
            if not finite[begin:end].all():
                failed.add(piece.job)
            begin = end
        return failed

    def take(self, job: int) -> np.ndarray:
        """A finished job's samples, in the data's own units (see `Samples.data`); its rows are freed."""
        rows = self._rows.pop(job)
        return self._in_own_units(rows.job, rows.x)

    def preview(self, job: int) -> np.ndarray:
        """What a job's samples look like as of now: the last x̂0 of every row."""
        rows = self._rows[job]
        return self._in_own_units(rows.job, rows.x0)

    def drop(self, job: int) -> None:
        """Free a job's rows; nothing happens where it has none."""
        self._rows.pop(job, None)

    @property
    def rows_held(self) -> int:
        return sum(len(rows.x) for rows in self._rows.values())

    def _in_own_units(self, job: Job, x: Tensor) -> np.ndarray:
        data = self.models[job.model].data
        restored = data.restore(x)
        return to_uint8(restored) if data.kind == "images" else restored.cpu().numpy()

    def _rows_of(self, ticket: int, job: Job, model: Model) -> _Rows:
        """A job takes memory when it first runs, not when it is queued."""
        if ticket not in self._rows:
            seeds = torch.from_numpy(job.seeds)
            on_device = seeds.to(self.device)
            x = normal(on_device, torch.zeros_like(on_device), model.data.shape)
            self._rows[ticket] = _Rows(job, x, torch.zeros_like(x), seeds, torch.from_numpy(job.labels))
        return self._rows[ticket]


@torch.inference_mode()
def _evaluations_per_second(denoiser: Denoiser, shape: tuple[int, ...], rows: int, passes: int = 2) -> float:
    """A first look, for estimates of load; what is learned while serving replaces it."""
    x = torch.zeros(rows, *shape, device=denoiser.device)
    t = torch.ones(rows, dtype=torch.int64, device=denoiser.device)
    conditions = Conditions(torch.full((rows,), NO_LABEL), torch.zeros(rows))
    denoiser(x, t, conditions)
    started = time.perf_counter()
    for _ in range(passes):
        denoiser(x, t, conditions).x0.sum().item()
    return rows * passes / (time.perf_counter() - started)
