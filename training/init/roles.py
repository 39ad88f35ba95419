"""The roles that a recipe can have, and the roles that suit the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch

from model.checkpoints.denoiser import DenoiserConfig
from model.data import DataConfig

FEW = 2000  # images: for fewer the network is narrower
FEWEST_IN_CLUSTER = 10  # rows, on average: a cluster of fewer is memorised rather than learned


class Role(StrEnum):
    """What can be trained."""

    CONDITIONAL = "conditional"
    UNCONDITIONAL = "unconditional"
    CLUSTERED = "clustered"
    CLASSIFIER = "classifier"
    JUDGE = "judge"
    CONTROL_CANNY = "control-canny"
    CONTROL_SKETCH = "control-sketch"
    CONTROL_INPAINTING = "control-inpainting"
    CLIP = "clip"
    TEXT = "text"
    FAST = "fast"
    FAST_CONTROL_CANNY = "fast-control-canny"
    FAST_CONTROL_SKETCH = "fast-control-sketch"
    AUTOGUIDANCE = "autoguidance"


DENOISERS = (Role.CONDITIONAL, Role.UNCONDITIONAL, Role.CLUSTERED, Role.TEXT)
CONTROLNETS = (Role.CONTROL_CANNY, Role.CONTROL_SKETCH, Role.CONTROL_INPAINTING)
STUDENTS = (Role.FAST, Role.FAST_CONTROL_CANNY, Role.FAST_CONTROL_SKETCH)

IN_ORDER = (
    Role.JUDGE, Role.CONDITIONAL, Role.UNCONDITIONAL, Role.CLUSTERED, Role.CLASSIFIER, Role.CLIP, Role.TEXT,
    Role.CONTROL_CANNY, Role.CONTROL_SKETCH, Role.CONTROL_INPAINTING, Role.FAST, Role.FAST_CONTROL_CANNY,
    Role.FAST_CONTROL_SKETCH, Role.AUTOGUIDANCE,
)  # fmt: skip
"""The order to train in: a judge measures the others; a ControlNet, a few-step student and a weak network need their
base, a student's ControlNet that of its teacher as well, a text denoiser its CLIP, and clusters of images the
unconditional denoiser, whose features they are made of."""

SUFFIXES: Mapping[Role, str] = {
    Role.UNCONDITIONAL: "ddpm",
    Role.CLUSTERED: "clusters",
    Role.CLASSIFIER: "classifier",
    Role.JUDGE: "judge",
    Role.CONTROL_CANNY: "control-canny",
    Role.CONTROL_SKETCH: "control-sketch",
    Role.CONTROL_INPAINTING: "control-inpainting",
    Role.CLIP: "clip",
    Role.TEXT: "text-cfg",
    Role.FAST: "fast",
    Role.FAST_CONTROL_CANNY: "fast-control-canny",
    Role.FAST_CONTROL_SKETCH: "fast-control-sketch",
    Role.AUTOGUIDANCE: "weak",
}
"""A recipe's suffix after the data's name. A conditional recipe has none, nor has the one that answers by default."""


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
    clusters    pseudo-labels that the rows get; None where none are wanted
    """

    rows: int
    data: DataConfig
    device: torch.device
    captioned: bool = False
    taken_from: DenoiserConfig | None = None
    held_out: int = 0
    teacher: DenoiserConfig | None = None
    clusters: int | None = None

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
    if role == Role.CLUSTERED:
        _check_clusters(summary)
    of_points = (Role.CONDITIONAL, Role.UNCONDITIONAL, Role.CLUSTERED, Role.CLASSIFIER, Role.FAST, Role.AUTOGUIDANCE)
    if role not in of_points and not summary.images:
        raise UnsupportedRole(f"--role {role}: is of images only")
    if role in (Role.CLIP, Role.TEXT) and not summary.captioned:
        raise UnsupportedRole(
            f"--role {role}: there are no captions: metadata.jsonl with file_name and text, a line each"
        )
    if summary.taken_from is not None and role not in (Role.CONDITIONAL, Role.UNCONDITIONAL, Role.CLUSTERED):
        raise UnsupportedRole(f"--role {role}: --from is of denoisers")


def _check_clusters(summary: DataSummary) -> None:
    """Raises UnsupportedRole if the data cannot be clustered so."""
    if summary.clusters is None:
        raise UnsupportedRole(f"--role {Role.CLUSTERED}: say how many: --clusters 20")
    if summary.data.labels:
        raise UnsupportedRole("--clusters: there are classes, which serve better; --no-labels ignores them")
    if summary.rows < FEWEST_IN_CLUSTER * summary.clusters:
        most = summary.rows // FEWEST_IN_CLUSTER
        allowed = f"at most {most:,}" if most > 1 else "leave it away"
        raise UnsupportedRole(
            f"--clusters {summary.clusters}: too many for {summary.rows:,} rows to train on: {allowed}"
        )
