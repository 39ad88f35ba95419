"""The roles of checkpoints, and how each is loaded."""

from collections.abc import Callable, Mapping
from pathlib import Path

from model.checkpoints.autoguidance import AutoguidanceCheckpoint, load_autoguidance
from model.checkpoints.classifier import load_classifier
from model.checkpoints.clip import load_clip
from model.checkpoints.control import ControlCheckpoint, load_control
from model.checkpoints.denoiser import DenoiserCheckpoint, load_checkpoint
from model.checkpoints.guidance_model import GuidanceModel

ServedCheckpoint = DenoiserCheckpoint | GuidanceModel | ControlCheckpoint | AutoguidanceCheckpoint

AnyGuidanceModel = GuidanceModel | AutoguidanceCheckpoint
"""What guides a denoiser: by its gradient, or as a weak network."""

GUIDANCE_MODEL_LOADERS: Mapping[str, Callable[[Path], GuidanceModel]] = {
    "classifier": load_classifier,
    "clip": load_clip,
}
"""The guidance models that guide by their gradient, by role."""

LOADERS: Mapping[str, Callable[[Path], ServedCheckpoint]] = {
    "denoiser": load_checkpoint,
    **GUIDANCE_MODEL_LOADERS,
    "control": load_control,
    "autoguidance": load_autoguidance,
}
"""Everything that is served, by role. A judge is for measuring only."""
