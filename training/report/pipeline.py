"""What the report measures: a denoiser, alone, with a guidance model or with a ControlNet."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.checkpoints.config import read_role
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.guidance_model import GuidanceModel
from model.checkpoints.roles import LOADERS
from model.checkpoints.weights import CheckpointError
from training.data.digits import CONFIG


@dataclass(frozen=True, eq=False)
class Pipeline:
    checkpoint: DenoiserCheckpoint
    guidance_model: GuidanceModel | None = None
    control: ControlCheckpoint | None = None

    @property
    def configs(self) -> tuple[Any, ...]:
        """Of the checkpoints that it is made of."""
        return tuple(of.config for of in (self.checkpoint, self.guidance_model, self.control) if of is not None)

    @property
    def name(self) -> str:
        return "+".join(config.name for config in self.configs)

    @property
    def title(self) -> str:
        """Its name, for people."""
        return self.name.replace("+", " + ")

    def picture(self, of: str) -> str:
        """What a picture of its samples is called."""
        return f"{self.name.replace('+', '-')}-{of}.png"

    @property
    def overrides(self) -> str:
        """What the cards say of how to sample, which pictures follow."""
        told = [self.checkpoint.config.sampling.model_dump_json()]
        if self.guidance_model:
            told.append(self.guidance_model.overrides.model_dump_json())
        if self.control:
            config = self.control.config
            told.append(f"control scale {config.control_scale:g}, alone {config.sampling.model_dump_json()}")
        return "; ".join(told)

    @property
    def asked(self) -> Literal["points", "labels", "prompts", "hints"]:
        """What its samples are measured against."""
        if self.checkpoint.config.data.kind == "points":
            return "points"
        if self.control is not None:
            return "hints"
        conditioning = (
            self.checkpoint.config.conditioning if self.guidance_model is None else self.guidance_model.conditioning
        )
        return "prompts" if conditioning == "text" else "labels"

    @property
    def traits_are_measured(self) -> bool:
        """Is it asked for digits in words, so that strokes tell whether those are followed?"""
        return self.asked == "prompts" and self.checkpoint.config.data.dataset == CONFIG.dataset


@dataclass(frozen=True, eq=False, kw_only=True)
class GuidedPipeline(Pipeline):
    """A denoiser with the guidance model whose gradient guides it."""

    guidance_model: GuidanceModel


@dataclass(frozen=True, eq=False, kw_only=True)
class HintedPipeline(Pipeline):
    """A denoiser with the ControlNet that was trained beside it."""

    control: ControlCheckpoint


@dataclass(frozen=True, eq=False)
class Checkpoints:
    """The checkpoints of a folder."""

    denoisers: tuple[DenoiserCheckpoint, ...]  # of images first
    guidance_models: tuple[GuidanceModel, ...]
    controls: tuple[ControlCheckpoint, ...]

    def plain(self) -> Iterator[Pipeline]:
        """Denoisers by themselves."""
        return (Pipeline(checkpoint) for checkpoint in self.denoisers)

    def guided(self) -> Iterator[GuidedPipeline]:
        """Denoisers with each guidance model that fits them."""
        for checkpoint in self.denoisers:
            for guidance_model in self.guidance_models:
                if guidance_model.fits(checkpoint.config):
                    yield GuidedPipeline(checkpoint, guidance_model=guidance_model)

    def hinted(self) -> Iterator[HintedPipeline]:
        """Denoisers with each ControlNet that was trained beside them."""
        for checkpoint in self.denoisers:
            for control in self.controls:
                if control.fits(checkpoint):
                    yield HintedPipeline(checkpoint, control=control)


def load_library(folder: Path) -> Checkpoints:
    """Everything but judges. Raises CheckpointError where a checkpoint is broken, or its folder has another name."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    found = {path: role for path in paths if (role := read_role(path)) in LOADERS}
    loaded = {path: LOADERS[role](path) for path, role in found.items()}
    for path, one in loaded.items():
        if path.name != one.config.name:
            raise CheckpointError(
                f"{path.name}: its config.json calls it {one.config.name}, by which its cells are kept: rename either"
            )
    denoisers = [one for one in loaded.values() if isinstance(one, DenoiserCheckpoint)]
    others = [one for one in loaded.values() if not isinstance(one, DenoiserCheckpoint)]
    return Checkpoints(
        tuple(sorted(denoisers, key=lambda of: (of.config.data.kind != "images", of.config.name))),
        tuple(of for of in others if not isinstance(of, ControlCheckpoint)),
        tuple(of for of in others if isinstance(of, ControlCheckpoint)),
    )
