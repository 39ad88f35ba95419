"""What the engine is given to run."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from model.checkpoints.autoguidance import AutoguidanceCheckpoint
from model.checkpoints.clip import ClipCheckpoint
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.guidance_model import GuidanceModel
from model.checkpoints.roles import ServedCheckpoint
from model.conditions import Conditioning, HintKind
from model.text_encoder import TextEncoder

# Fields that change no sample whose label is known: advice for requests, the labels' prior, and metrics.
ADVISORY_FIELDS = {"sampling", "label_shares", "control_scale", "default_for_prompts", "recipe", "metrics", "imported"}


def what_computes(part: ServedCheckpoint) -> bytes:
    """Equal for two that compute the same: weights, meaning and graph."""
    return (part.config.model_dump_json(exclude=ADVISORY_FIELDS) + part.identity).encode()


@dataclass(frozen=True, eq=False)
class Served:
    """A denoiser, its guidance models by what they are conditioned on, its ControlNets by their kind of hint, and the
    weak network that autoguidance leads away from."""

    checkpoint: DenoiserCheckpoint
    guidance_models: Mapping[Conditioning, GuidanceModel] = field(default_factory=dict)
    controls: Mapping[HintKind, ControlCheckpoint] = field(default_factory=dict)
    weak: AutoguidanceCheckpoint | None = None

    @property
    def name(self) -> str:
        return self.checkpoint.config.name

    @property
    def parts(self) -> list[ServedCheckpoint]:
        """The denoiser, and what goes with it."""
        weak = () if self.weak is None else (self.weak,)
        return [self.checkpoint, *self.guidance_models.values(), *self.controls.values(), *weak]

    @property
    def weight_bytes(self) -> int:
        """Of all their networks, in float32."""
        return sum(part.weight_bytes for part in self.parts)

    @property
    def text(self) -> TextEncoder | None:
        """The encoder that reads prompts: the denoiser's own, or its guidance model's."""
        guidance_model = self.guidance_models.get("text")
        return self.checkpoint.text or (guidance_model.text if isinstance(guidance_model, ClipCheckpoint) else None)

    @cached_property
    def key(self) -> str:
        """Equal for two that give the same samples: the name, and every network's weights, meaning and graph. Advice on
        how to sample and metrics do not count."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(what_computes(part))
        return f"{self.name}@{digest.hexdigest()[:12]}"
