"""A request's `control` → the hint that its samples follow."""

import base64

import numpy as np

from model.checkpoints.control import ControlConfig
from model.hints import HintError, given_hint
from service.engine.job import Hint
from service.http.problems import invalid
from service.media import encoding
from service.media.uploads import PictureError, decoded, from_base64
from service.requests.schemas import ControlRequest


def hint_of(control: ControlRequest, scale: float, of: ControlConfig) -> Hint:
    """As that ControlNet reads it. Some milliseconds of work: not for the event loop. Raises Problem (422) that names
    the trouble.

    Its values are whole 255ths, so that as a PNG it is the same hint.
    """
    try:
        picture = decoded(from_base64(control.image))
        how = {"framing": of.framing, "frame": of.frame, "preprocess": control.preprocess}
        hint = given_hint(picture, control.kind, of.data.shape[1:], **how)
    except (PictureError, HintError) as error:
        raise invalid("control.image", str(error)) from error
    return Hint(control.kind, (np.rint(255 * hint) / 255).astype(np.float32)[None], scale)


def as_control(hint: Hint) -> dict:
    """The hint as a request's `control`, for which the same samples follow it."""
    pixels = np.rint(255 * hint.image[0]).astype(np.uint8)
    image = base64.b64encode(encoding.png(pixels, {})).decode()
    return {"kind": hint.kind, "image": image, "scale": hint.scale, "preprocess": False}
