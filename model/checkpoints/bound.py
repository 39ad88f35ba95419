"""A checkpoint that belongs to one denoiser: to its name, and to the weights that it was trained beside."""

from typing import Self

from pydantic import Field

from model.checkpoints.config import NAME_PATTERN
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.strict_config import StrictConfig


class BaseConfig(StrictConfig):
    """The denoiser.

    weights  see `model.checkpoints.weights.fingerprint`
    """

    name: str = Field(pattern=NAME_PATTERN)
    weights: str

    @classmethod
    def of(cls, denoiser: DenoiserCheckpoint) -> Self:
        return cls(name=denoiser.name, weights=denoiser.fingerprint)

    def is_of(self, denoiser: DenoiserCheckpoint) -> bool:
        """Is it that denoiser, with the weights that it has?"""
        return denoiser.name == self.name and denoiser.fingerprint == self.weights
