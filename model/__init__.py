"""The mathematics of diffusion: tensors in, tensors out. Imports neither `training` nor `service`.

What a script needs to load a checkpoint and to sample from it stands here; the README shows how.
"""

from model.checkpoints.denoiser import load_checkpoint
from model.conditions import Conditions
from model.data import to_uint8
from model.plan import make_plan
from model.sampling_loop import sample

__all__ = ["Conditions", "load_checkpoint", "make_plan", "sample", "to_uint8"]
