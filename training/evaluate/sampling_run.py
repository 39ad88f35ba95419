"""Generated samples, and the run that generated them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.checkpoints.base import Precision
from model.checkpoints.config import SamplingConfig
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.roles import AnyGuidanceModel
from training.generate import Guidance


@dataclass(frozen=True, eq=False)
class Generated:
    """Samples, and the labels that were requested of them.

    rows    images [n, C, H, W] in 0 … 255, or points [n, d] in the data's own units
    labels  [n] int64; NO_LABEL if none was requested
    """

    rows: Tensor
    labels: Tensor


@dataclass(frozen=True)
class SamplingRun:
    """Where and how samples are generated.

    seed      of the run; see `first_seed`
    compile   compile the networks of images first
    guidance  by a classifier, CLIP or a weak network, if any
    """

    device: torch.device
    seed: int = 0
    precision: Precision = "float32"
    compile: bool = False
    guidance: Guidance | None = None

    @property
    def first_seed(self) -> int:
        """The seed of the first sample; the others count on from it. Runs of different seeds share no sample."""
        return self.seed * 2**32

    @property
    def guidance_model(self) -> AnyGuidanceModel | None:
        return None if self.guidance is None else self.guidance.guidance_model


def requests_labels(checkpoint: DenoiserCheckpoint, options: SamplingConfig, guidance: Guidance | None) -> bool:
    """Do the samples have a requested label that they can be compared with? At scale 0 they have none."""
    if guidance is not None and guidance.conditioning is not None and guidance.scale > 0:
        return True
    return bool(checkpoint.config.data.labels) and (guidance is not None or options.guidance_scale > 0)
