"""A model made ready on a device, with a line in the log that says how fast it is there."""

import time
from collections.abc import Generator

import structlog

from service.engine.options import WantedPrecision
from service.engine.row_functions import Backend, precision_by
from service.engine.runner import Model, Runner
from service.engine.served_model import Served

log = structlog.get_logger(__name__)


def warmed_up(
    runner: Runner, key: str, served: Served, backend: Backend, wanted: WantedPrecision, device: str
) -> Generator[None, None, Model]:
    """Load and warm up one model; yields between its passes, and returns it. Raises whatever it fails with.

    device  the name of the runner's, for the log
    """
    started = time.monotonic()
    precision = precision_by(backend, wanted, served.checkpoint, runner.device)
    if wanted not in ("auto", precision):
        log.warning("the checkpoint does not allow that precision", model=served.name, runs_in=precision)
    yield from runner.load(key, served, precision)
    model = runner.models[key]
    log.info(
        "model ready",
        model=served.name,
        device=device,
        backend=model.network.backend,
        precision=model.network.precision,
        network_evaluations_per_second={size: round(rate) for size, rate in model.curve.rates.items()},
        knee=model.curve.knee,
        ready=len(runner.models),
        seconds=round(time.monotonic() - started, 2),
    )
    return model
