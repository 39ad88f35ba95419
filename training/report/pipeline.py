"""What the report measures: a denoiser, alone, with a guidance model, with a weak network or with a ControlNet."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.checkpoints.autoguidance import AutoguidanceCheckpoint
from model.checkpoints.config import DiffusionConfig
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.folder import CheckpointFolder, read_checkpoint_folder
from model.checkpoints.guidance_model import GuidanceModel
from model.checkpoints.roles import AnyGuidanceModel
from model.conditions import CONTROL_KINDS
from training.data import data_are_here
from training.data.digits import CONFIG


@dataclass(frozen=True, eq=False)
class Pipeline:
    checkpoint: DenoiserCheckpoint
    guidance_model: AnyGuidanceModel | None = None
    control: ControlCheckpoint | None = None

    @property
    def configs(self) -> tuple[DiffusionConfig[Any], ...]:
        """The configs of its checkpoints."""
        parts = (self.checkpoint, self.guidance_model, self.control)
        return tuple(part.config for part in parts if part is not None)

    @property
    def name(self) -> str:
        return "+".join(config.name for config in self.configs)

    @property
    def title(self) -> str:
        """Its name, for people."""
        return self.name.replace("+", " + ")

    def picture(self, subject: str) -> str:
        """The file name of a picture of its samples."""
        return f"{self.name.replace('+', '-')}-{subject}.png"

    @property
    def overrides(self) -> str:
        """How the cards sample by default, as one text: a picture is drawn again when it changes. A field that advises
        nothing does not count."""
        parts = [self.checkpoint.config.sampling.model_dump_json(exclude_none=True)]
        if self.guidance_model:
            parts.append(self.guidance_model.overrides.model_dump_json(exclude_none=True))
        if self.control:
            config = self.control.config
            alone = config.sampling.model_dump_json(exclude_none=True)
            parts.append(f"control scale {config.control_scale:g}, alone {alone}")
        return "; ".join(parts)

    @property
    def asked(self) -> Literal["points", "labels", "prompts", "hints"]:
        """What its samples are asked to be, and so what they are measured against."""
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
        """Do prompts ask for digits? Then measured strokes say whether a sample follows its prompt."""
        return self.asked == "prompts" and self.checkpoint.config.data.dataset == CONFIG.dataset


@dataclass(frozen=True, eq=False, kw_only=True)
class GuidedPipeline(Pipeline):
    """A denoiser with the guidance model whose gradient guides it."""

    guidance_model: GuidanceModel


@dataclass(frozen=True, eq=False, kw_only=True)
class AutoguidedPipeline(Pipeline):
    """A denoiser with its weak network."""

    guidance_model: AutoguidanceCheckpoint


@dataclass(frozen=True, eq=False, kw_only=True)
class HintedPipeline(Pipeline):
    """A denoiser with the ControlNet that was trained beside it."""

    control: ControlCheckpoint


class Checkpoints:
    """The pipelines that the checkpoints of a folder make, except those whose training data are not known or not here.

    without_data  the names of the latter
    """

    def __init__(self, folder: CheckpointFolder):
        own = [one for one in folder.denoisers if one.config.imported is None]
        self.without_data = sorted(one.name for one in own if not data_are_here(one.config))
        own = [one for one in own if one.name not in self.without_data]
        self.denoisers = sorted(own, key=lambda one: (one.data.kind != "images", one.name))
        self._folder = folder

    def plain(self) -> Iterator[Pipeline]:
        """Denoisers by themselves, those of images first. A student has no part in the grid of all samplers."""
        return (Pipeline(checkpoint) for checkpoint in self.denoisers if checkpoint.config.distilled is None)

    def guided(self) -> Iterator[GuidedPipeline]:
        """Denoisers with each guidance model that fits them."""
        for checkpoint in self.denoisers:
            for guidance_model in self._folder.guidance_models:
                if guidance_model.fits(checkpoint.config):
                    yield GuidedPipeline(checkpoint, guidance_model=guidance_model)

    def autoguided(self) -> Iterator[AutoguidedPipeline]:
        """Denoisers with each weak network that was trained for them."""
        for checkpoint in self.denoisers:
            for weak in self._folder.weak_networks:
                if weak.fits(checkpoint):
                    yield AutoguidedPipeline(checkpoint, guidance_model=weak)

    def hinted(self) -> Iterator[HintedPipeline]:
        """Denoisers with each ControlNet that makes them follow a picture. A student takes few settings: its card has
        them all."""
        for checkpoint in self.denoisers:
            if checkpoint.config.distilled is not None:
                continue
            for control in self._folder.controls:
                if control.hint in CONTROL_KINDS and control.fits(checkpoint):
                    yield HintedPipeline(checkpoint, control=control)


def read_checkpoints(folder: Path) -> Checkpoints:
    """Raises CheckpointError where a checkpoint is broken, or named otherwise than its folder: measurements are kept by
    that name."""
    return Checkpoints(read_checkpoint_folder(folder, strict=True))
