"""What the engine is given to run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from model.checkpoint import Checkpoint
from model.conditions import Asked, HintKind
from model.control import ControlCheckpoint
from model.reader import Guide


@dataclass(frozen=True, eq=False)
class Served:
    """A denoiser, and what steers it: by a gradient, by what is asked of it, or by a hint, by its kind."""

    checkpoint: Checkpoint
    guides: Mapping[Asked, Guide] = field(default_factory=dict)
    controls: Mapping[HintKind, ControlCheckpoint] = field(default_factory=dict)
