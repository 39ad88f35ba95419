"""The roles of checkpoints, and how each is loaded."""

from collections.abc import Callable, Mapping
from pathlib import Path

from model.checkpoints.classifier import load_classifier
from model.checkpoints.clip import load_clip
from model.checkpoints.control import ControlCheckpoint, load_control
from model.checkpoints.denoiser import DenoiserCheckpoint, load_checkpoint
from model.checkpoints.guidance_model import GuidanceModel

ServedCheckpoint = DenoiserCheckpoint | GuidanceModel | ControlCheckpoint

GUIDANCE_MODEL_LOADERS: Mapping[str, Callable[[Path], GuidanceModel]] = {
    "classifier": load_classifier,
    "clip": load_clip,
}
"""The guidance models, by role."""

LOADERS: Mapping[str, Callable[[Path], ServedCheckpoint]] = {
    "denoiser": load_checkpoint,
    **GUIDANCE_MODEL_LOADERS,
    "control": load_control,
}
"""Everything that is served, by role. A judge is for measuring only."""
