"""The roles that a recipe can have, and the roles that suit the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch

from model.checkpoints.denoiser import DenoiserConfig
from model.data import DataConfig

FEW = 2000  # images: for fewer the network is narrower


class Role(StrEnum):
    """What can be trained."""

    CONDITIONAL = "conditional"
    UNCONDITIONAL = "unconditional"
    CLASSIFIER = "classifier"
    JUDGE = "judge"
    CONTROL_CANNY = "control-canny"
    CONTROL_SKETCH = "control-sketch"
    CLIP = "clip"
    TEXT = "text"
    FAST = "fast"
    AUTOGUIDANCE = "autoguidance"


DENOISERS = (Role.CONDITIONAL, Role.UNCONDITIONAL, Role.TEXT)
CONTROLNETS = (Role.CONTROL_CANNY, Role.CONTROL_SKETCH)

IN_ORDER = (
    Role.JUDGE, Role.CONDITIONAL, Role.UNCONDITIONAL, Role.CLASSIFIER, Role.CLIP, Role.TEXT,
    Role.CONTROL_CANNY, Role.CONTROL_SKETCH, Role.FAST, Role.AUTOGUIDANCE,
)  # fmt: skip
"""The order to train in: a judge measures the others; a ControlNet, a few-step student and a weak network need their
base, a text denoiser its CLIP."""

SUFFIXES: Mapping[Role, str] = {
    Role.UNCONDITIONAL: "ddpm",
    Role.CLASSIFIER: "classifier",
    Role.JUDGE: "judge",
    Role.CONTROL_CANNY: "control-canny",
    Role.CONTROL_SKETCH: "control-sketch",
    Role.CLIP: "clip",
    Role.TEXT: "text-cfg",
    Role.FAST: "fast",
    Role.AUTOGUIDANCE: "weak",
}
"""A recipe's suffix after the data's name. A conditional recipe has none, nor has the default recipe."""


class UnsupportedRole(ValueError):
    """A role that the data do not allow; the message names the option and what is missing."""


@dataclass(frozen=True)
class DataSummary:
    """What a proposal depends on.

    rows        that are trained on
    captioned   the rows have captions
    taken_from  the checkpoint whose weights training starts from
    held_out    rows that samples are measured with
    teacher     the denoiser that a few-step student learns from
    """

    rows: int
    data: DataConfig
    device: torch.device
    captioned: bool = False
    taken_from: DenoiserConfig | None = None
    held_out: int = 0
    teacher: DenoiserConfig | None = None

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def images(self) -> bool:
        return self.data.kind == "images"


def check_role(role: Role, summary: DataSummary) -> None:
    """Raises UnsupportedRole if the data lack what the role needs."""
    if role in (Role.CONDITIONAL, Role.CLASSIFIER, Role.JUDGE) and not summary.data.labels:
        wanted = "one folder a class" if summary.images else "a column: --label"
        raise UnsupportedRole(f"--role {role}: there are no classes: {wanted}")
    of_points = (Role.CONDITIONAL, Role.UNCONDITIONAL, Role.CLASSIFIER, Role.FAST, Role.AUTOGUIDANCE)
    if role not in of_points and not summary.images:
        raise UnsupportedRole(f"--role {role}: is of images only")
    if role in (Role.CLIP, Role.TEXT) and not summary.captioned:
        raise UnsupportedRole(
            f"--role {role}: there are no captions: metadata.jsonl with file_name and text, a line each"
        )
    if summary.taken_from is not None and role not in (Role.CONDITIONAL, Role.UNCONDITIONAL):
        raise UnsupportedRole(f"--role {role}: --from is of denoisers")
