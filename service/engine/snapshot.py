"""What the engine is doing, as of one moment: for health checks, metrics and GET /models."""

from collections.abc import Mapping
from dataclasses import dataclass

from model.checkpoints.base import Precision
from service.engine.row_functions import Backend, ReadyFunction
from service.engine.runner import Model
from service.engine.speed_curve import SpeedCurve


@dataclass(frozen=True, eq=False)
class ReadyModel:
    """A model that a worker has warmed up.

    dataset          the name of its data
    curve            its batch sizes, and how long a pass takes at each; it goes on learning
    guidance_models  by name, how each gradient, or the weak network, is computed
    controlnets      by name, how each is computed
    """

    name: str
    dataset: str
    backend: Backend
    precision: Precision
    curve: SpeedCurve
    guidance_models: Mapping[str, ReadyFunction]
    controlnets: Mapping[str, ReadyFunction]

    @staticmethod
    def of(model: Model) -> "ReadyModel":
        served = model.served
        gradients = {one.name: model.gradients[kind] for kind, one in served.guidance_models.items()}
        weak = {} if served.weak is None or model.weak is None else {served.weak.name: model.weak}
        return ReadyModel(
            name=served.name,
            dataset=model.data.dataset,
            backend=model.network.backend,
            precision=model.network.precision,
            curve=model.curve,
            guidance_models=gradients | weak,
            controlnets={one.name: model.controls[kind] for kind, one in served.controls.items()},
        )


@dataclass(frozen=True, eq=False)
class WorkerSnapshot:
    """One device and its thread.

    device           its name, such as cuda:1 or cpu:0-3
    kind             cpu or cuda
    torch_threads    that PyTorch computes networks with
    models           those that are ready, by key
    to_begin_with    how many models are made ready at the start
    loaded           these are ready, or left out
    warming          a model is being made ready, now or beside those that are served
    ended            its thread has ended, of `failure` if it failed, or was given up
    heartbeat_age    seconds since the thread last showed that it moves
    backlog_seconds  accepted work that is not done, in estimated seconds of the device
    rows_active      rows of jobs that have begun
    rows_queued      rows of jobs that wait for their first step
    """

    device: str
    kind: str
    torch_threads: int
    models: Mapping[str, ReadyModel]
    to_begin_with: int
    loaded: bool
    warming: bool
    ended: bool
    failure: BaseException | None
    heartbeat_age: float
    backlog_seconds: float
    rows_active: int
    rows_queued: int

    @property
    def takes_work(self) -> bool:
        return self.loaded and not self.ended


@dataclass(frozen=True, eq=False)
class EngineSnapshot:
    """All workers. `retiring` are keys of models that take no more work."""

    workers: tuple[WorkerSnapshot, ...]
    draining: bool
    retiring: frozenset[str]

    @property
    def ready(self) -> bool:
        """Is work taken?"""
        return not self.draining and any(one.takes_work for one in self.workers)

    @property
    def failure(self) -> BaseException | None:
        """What a worker died of, once none is left; None while one goes on."""
        if not all(one.ended for one in self.workers):
            return None
        return next((one.failure for one in self.workers if one.failure is not None), None)

    @property
    def heartbeat_age(self) -> float:
        """Seconds since any worker that takes work moved; of all workers while none does."""
        takers = [one for one in self.workers if one.takes_work]
        return min(one.heartbeat_age for one in takers or self.workers)

    @property
    def backlog_seconds(self) -> float:
        return sum(one.backlog_seconds for one in self.workers)

    @property
    def warmed(self) -> tuple[int, int]:
        """How many models are ready, and of how many: over all workers."""
        return sum(len(one.models) for one in self.workers), sum(one.to_begin_with for one in self.workers)

    @property
    def models(self) -> Mapping[str, ReadyModel]:
        """By key, also those that are retiring; of several workers that have a model the first."""
        living = [one for one in self.workers if not one.ended]
        return {key: model for one in reversed(living or self.workers) for key, model in one.models.items()}

    @property
    def keys(self) -> frozenset[str]:
        """Of the models that take work."""
        return frozenset(self.models) - self.retiring

    @property
    def devices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.device for one in self.workers))
