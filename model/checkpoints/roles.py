"""What kind of checkpoint a folder is → how it is loaded."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model.checkpoints.classifier import load_classifier
from model.checkpoints.clip import load_clip
from model.checkpoints.control import load_control
from model.checkpoints.denoiser import load_checkpoint
from model.checkpoints.guidance_model import GuidanceModel

GUIDANCE_MODEL_LOADERS: Mapping[str, Callable[[Path], GuidanceModel]] = {
    "classifier": load_classifier,
    "clip": load_clip,
}
"""By role: what steers by a gradient."""

LOADERS: Mapping[str, Callable[[Path], Any]] = {
    "denoiser": load_checkpoint,
    **GUIDANCE_MODEL_LOADERS,
    "control": load_control,
}
"""By role: everything that is served. A judge is for measuring only."""
