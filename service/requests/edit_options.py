"""What a request begins from, with every default filled in: the plan that follows, and the seeds of its samples."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.noise import sample_seeds
from model.plan import Plan, cached_plan, unchanged_plan
from model.sampler_spec import Integers
from service.requests.edit_schemas import InitMethod
from service.requests.model_choice import Choice
from service.requests.sampling_options import SamplingOptions, sampling_options
from service.requests.schemas import CONDITIONING_TIMES, INPAINTING_TIMES, SampleRequest

SDEDIT_STRENGTH = 0.5

_cached_unchanged_plan = lru_cache(maxsize=256)(unchanged_plan)


@dataclass(frozen=True)
class EditOptions:
    """`method` and `strength` are None without a picture; `resample` is None where nothing is known of the samples."""

    method: InitMethod | None
    strength: float | None
    resample: int | None

    @property
    def inverts(self) -> bool:
        return self.method == "inversion" and self.strength != 0


@dataclass(frozen=True, eq=False)
class Seeds:
    """own      [n] int64, what makes a sample: asked for alone with it, and with its share, it is the same
    noise    [n] int64, whose noise the rows draw
    other    [n] int64, towards whose noise a row's first is turned; None where it is not
    share    [n] float64, how far
    """

    own: Integers
    noise: Integers
    other: Integers | None = None
    share: NDArray[np.float64] | None = None


def edit_options(choice: Choice) -> EditOptions:
    """Every default filled in; `refuse` says whether the model can do it."""
    request = choice.request
    init, resample = request.init, request.resample
    if resample is None and (request.mask is not None or request.given is not None):
        resample = INPAINTING_TIMES if request.given is None else CONDITIONING_TIMES
        follows = choice.hint == "inpainting"  # a network that knows what is kept needs no jumps to agree with it
        if follows or request.asks_inversion or sampling_options(choice).variance == "learned":
            resample = 1
    if init is None:
        return EditOptions(None, None, resample)
    whole = request.asks_inversion or request.mask is not None
    default = 1.0 if whole else SDEDIT_STRENGTH
    return EditOptions(init.method, default if init.strength is None else init.strength, resample)


def start_of(edit: EditOptions, T: int) -> int:
    """The timestep 0 … T at which noise is all that the sampler has to take away."""
    strength = 1.0 if edit.strength is None else edit.strength
    return 0 if strength == 0 else max(1, round(strength * T))


def plan_of(choice: Choice, options: SamplingOptions, edit: EditOptions) -> Plan:
    schedule = choice.served.checkpoint.schedule
    start = start_of(edit, schedule.T)
    if start == 0:
        return _cached_unchanged_plan(schedule)
    return cached_plan(
        schedule,
        options.sampler,
        min(steps_of(options.steps, edit), start),
        eta=options.eta or 0.0,
        variance=options.variance or "fixed-small",
        start=None if start == schedule.T else start,
        resample=edit.resample or 1,
        inverted=edit.inverts,
    )


def steps_of(steps: int, edit: EditOptions) -> int:
    """Those that are taken: their share, rounded up. As a float 50 · 0.14 is a little more than 7: that counts as 7."""
    return steps if edit.strength is None else max(1, math.ceil(round(steps * edit.strength, 9)))


def seeds_of(request: SampleRequest, seed: int, n: int) -> Seeds:
    """Those of n samples, of which the first, or the whole walk, has this seed."""
    own = sample_seeds(seed, n)
    if request.seed_to is not None:
        here = np.full(n, seed, np.int64)
        return Seeds(here, here, np.full(n, request.seed_to, np.int64), _shares(request.mix, n))
    if request.variations_of is not None:
        noise = np.full(n, request.variations_of.seed, np.int64)
        return Seeds(own, noise, own, np.full(n, request.variations_of.amount))
    return Seeds(own, own)


def _shares(mix: float | list[float] | None, n: int) -> NDArray[np.float64]:
    """From one end to the other, where nothing is said; of a lone sample the middle."""
    if mix is not None:
        return np.array(mix if isinstance(mix, list) else [mix], np.float64)
    return np.linspace(0, 1, n) if n > 1 else np.array([0.5])
