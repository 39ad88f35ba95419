"""What the engine is given to run."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.guidance_model import GuidanceModel
from model.checkpoints.weights import fingerprint
from model.conditions import Conditioning, HintKind
from model.text_encoder import TextEncoder

# What changes no sample: advice for requests, and figures.
ADVISORY_FIELDS = {"sampling", "control_scale", "default_for_prompts", "recipe", "metrics"}


@dataclass(frozen=True, eq=False)
class Served:
    """A denoiser, and what steers it: by a gradient, by what is asked of it, or by a hint, by its kind."""

    checkpoint: DenoiserCheckpoint
    guidance_models: Mapping[Conditioning, GuidanceModel] = field(default_factory=dict)
    controls: Mapping[HintKind, ControlCheckpoint] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.checkpoint.config.name

    @property
    def text(self) -> TextEncoder | None:
        """What reads prompts: its own, or that of what steers it."""
        return self.checkpoint.text or getattr(self.guidance_models.get("text"), "text", None)

    def rank(self, asked: Conditioning | None, *, guidance_is_named: bool = False) -> tuple[bool, bool, bool]:
        """Who answers where no model is named: the least. One that is steered by what is preferred, unless the request
        names its guidance; then one that reads what is asked; then one that is steered to it."""
        conditioning, guidance_model = self.checkpoint.config.conditioning, self.guidance_models.get(asked)
        default_for_prompts = (
            guidance_model is not None
            and guidance_model.default_for_prompts
            and conditioning is None
            and not guidance_is_named
        )
        return not default_for_prompts, conditioning != asked, guidance_model is None

    @cached_property
    def key(self) -> str:
        """The same for what samples alike: name, weights and their meaning, and those of what steers; not the advice on
        how to sample, nor any figures."""
        parts = (self.checkpoint, *self.guidance_models.values(), *self.controls.values())
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part.config.model_dump_json(exclude=ADVISORY_FIELDS).encode())
            texts = [part.text.network] if getattr(part, "text", None) is not None else []
            for network in (part.network, *texts):
                digest.update(fingerprint(network).encode())
        return f"{self.name}@{digest.hexdigest()[:12]}"
