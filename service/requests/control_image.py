"""A request's `control` → the hint that its samples follow."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.checkpoints.control import ControlConfig
from model.conditions import HintKind
from model.hints import HintError, given_hint
from service.http.problems import invalid
from service.media import encoding
from service.media.uploads import PictureError, decoded, from_base64
from service.requests.schemas import ControlRequest


@dataclass(frozen=True, eq=False)
class Hint:
    """An image that all samples of a request follow: [1, H, W] float32 in 0 … 1; scale 0 is off."""

    kind: HintKind
    image: Tensor
    scale: float


def hint_of(control: ControlRequest, scale: float, config: ControlConfig) -> Hint:
    """The hint as the ControlNet of that config reads it. This takes some milliseconds: not for the event loop.

    Its values are whole 255ths, so that as a PNG it is the same hint. Raises Problem (422) that names the trouble.
    """
    _, height, width = config.data.shape
    try:
        hint = given_hint(
            decoded(from_base64(control.image)),
            control.kind,
            (height, width),
            framing=config.framing,
            frame=config.frame,
            preprocess=control.preprocess,
        )
    except (PictureError, HintError) as error:
        raise invalid("control.image", str(error)) from error
    whole = (np.rint(255 * hint) / 255).astype(np.float32)
    return Hint(control.kind, torch.from_numpy(whole)[None], scale)


def as_control(hint: Hint) -> dict[str, Any]:
    """The hint as a request's `control`: asked with it, the same samples come again."""
    pixels = np.rint(255 * hint.image[0].numpy()).astype(np.uint8)
    image = base64.b64encode(encoding.png(pixels, {})).decode()
    return {"kind": hint.kind, "image": image, "scale": hint.scale, "preprocess": False}
