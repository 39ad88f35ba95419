"""What a request begins from, as tensors: its pictures decoded and scaled, its noise drawn."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from model.conditions import Known
from model.data import DataConfig
from model.hints import filling, known_hint
from model.noise import normal
from model.noise_schedule import NoiseSchedule
from model.plan import Plan
from model.start import known_start, mixed_noise, noised_start
from service.engine.job import Job
from service.http.problems import invalid
from service.media import encoding
from service.media.uploads import PictureError, decoded, from_base64
from service.requests.edit_options import EditOptions, Seeds
from service.requests.schemas import SampleRequest

WHITE = 127  # what is lighter is white


@dataclass(frozen=True, eq=False)
class Pictures:
    """A request's pictures, as the model has its own.

    init     uint8 [H, W], or [H, W, 3] in colour
    mask     uint8 [H, W]: 255 is redrawn, 0 is kept; None without a mask
    resized  field → (width, height) that the picture had, of those that did not fit
    """

    init: np.ndarray
    mask: np.ndarray | None
    resized: Mapping[str, tuple[int, int]]

    def x0(self, data: DataConfig) -> Tensor:
        """[1, C, H, W] in the network's range."""
        return data.standardise(self._init)

    @cached_property
    def kept(self) -> Tensor | None:
        """[1, 1, H, W] bool; None without a mask."""
        return None if self.mask is None else torch.from_numpy(self.mask == 0)[None, None]

    @cached_property
    def hint(self) -> Tensor | None:
        """The inpainting hint [1, H, W] of what is kept; None without a mask."""
        return None if self.kept is None else known_hint(self._init, self.kept)[0]

    @cached_property
    def _init(self) -> Tensor:
        """[1, C, H, W] in 0 … 255"""
        pixels = torch.from_numpy(self.init.copy()).float()
        return (pixels[None] if pixels.dim() == 2 else pixels.permute(2, 0, 1))[None]


@dataclass(frozen=True, eq=False)
class Beginning:
    """start     [n, …] in the network's range, see `Job.start`
    known     what the samples keep, n rows; None for nothing
    pictures  as they were understood; None without any
    """

    start: Tensor
    known: Known | None
    pictures: Pictures | None

    def of(self, job: Job) -> Job:
        """The job of these rows, from here on."""
        return replace(job, start=self.start, conditions=replace(job.conditions, known=self.known))


def pictures_of(request: SampleRequest, data: DataConfig) -> Pictures | None:
    """None without a picture. Raises Problem (422) that names the trouble."""
    if request.init is None:
        return None
    channels, *size = data.shape
    sizes: dict[str, tuple[int, int]] = {}
    init = _fitted("init.image", request.init.image, (size[0], size[1]), sizes, colour=channels == 3)
    if request.mask is None:
        return Pictures(init, None, sizes)
    mask = np.where(_fitted("mask.image", request.mask.image, (size[0], size[1]), sizes) > WHITE, 255, 0)
    if mask.min() == mask.max():
        what = "redrawn: leave the mask away" if mask.max() else "redrawn, as nothing of it is white"
        raise invalid("mask.image", f"the mask is of one colour, so {'all' if mask.max() else 'nothing'} is {what}")
    return Pictures(init, mask.astype(np.uint8), sizes)


def _fitted(
    field: str, image: str, size: tuple[int, int], sizes: dict[str, tuple[int, int]], *, colour: bool = False
) -> np.ndarray:
    """uint8 [*size] or [*size, 3]; notes in `sizes` what had another size. Raises Problem (422)."""
    try:
        pixels = decoded(from_base64(image), colour=colour)
    except PictureError as error:
        raise invalid(field, str(error)) from error
    if pixels.shape[:2] == size:
        return pixels
    sizes[field] = pixels.shape[1], pixels.shape[0]
    fitted: np.ndarray = np.rint(filling(pixels.astype(np.float32), size)).clip(0, 255).astype(np.uint8)
    return fitted


def beginning(
    edit: EditOptions,
    plan: Plan,
    seeds: Seeds,
    schedule: NoiseSchedule,
    data: DataConfig,
    pictures: Pictures | None,
    given: Mapping[int, float] | None,
) -> Beginning:
    """Where the rows start. `given` are values by dimension, of points."""
    rows, noise = len(seeds.own), _noise(seeds, data.shape)
    t = int(plan.t[0])
    known, start = None, noise
    if pictures is not None:
        x0 = pictures.x0(data).expand(rows, *data.shape)
        if pictures.kept is not None:
            known = Known(x0, pictures.kept.float().expand(rows, *data.shape))
        if edit.inverts or edit.strength == 0:
            return Beginning(x0, known, pictures)
        if edit.strength != 1:
            start = noised_start(x0, noise, schedule, t)
    elif given:
        known = _known_dimensions(given, rows, data)
    if known is not None:
        start = known_start(start, known, noise, schedule, t)
    return Beginning(start, known, pictures)


def _known_dimensions(given: Mapping[int, float], rows: int, data: DataConfig) -> Known:
    values, kept = torch.zeros(1, *data.shape, dtype=torch.float64), torch.zeros(1, *data.shape)
    for index, value in given.items():
        values[0, index], kept[0, index] = value, 1
    return Known(data.standardise(values).expand(rows, -1), kept.expand(rows, -1))


def _noise(seeds: Seeds, shape: tuple[int, ...]) -> Tensor:
    noise = torch.from_numpy(seeds.noise)
    if seeds.other is None or seeds.share is None:
        return normal(noise, torch.zeros_like(noise), shape)
    return mixed_noise(noise, torch.from_numpy(seeds.other), torch.from_numpy(seeds.share), shape)


def as_image(pixels: np.ndarray) -> str:
    """The PNG in base64 that a request may give back."""
    return base64.b64encode(encoding.png(pixels, {})).decode()
