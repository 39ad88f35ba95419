"""The folder of checkpoints → what is in it that can be served."""

from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from model.checkpoints.config import read_role
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.guidance_model import GuidanceModel
from model.checkpoints.roles import LOADERS
from model.checkpoints.weights import CheckpointError
from service.checkpoints.catalog import Catalog

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CheckpointFolder:
    """loaded: by name; refused: what is broken, and why, by the name of its folder."""

    loaded: dict[str, DenoiserCheckpoint | GuidanceModel | ControlCheckpoint]
    refused: dict[str, str]

    def catalog(self) -> Catalog:
        """Without ControlNets whose denoiser is not there, or has other weights by now: they are named in the log."""
        checkpoints = [one for one in self.loaded.values() if isinstance(one, DenoiserCheckpoint)]
        controls = [one for one in self.loaded.values() if isinstance(one, ControlCheckpoint)]
        for control in controls:
            if not any(control.fits(checkpoint) for checkpoint in checkpoints):
                base = control.config.base
                reason = f"it was trained beside {base.name} with the weights {base.weights}, which is not here"
                log.error("checkpoint left out", checkpoint=control.name, reason=reason)
        guidance_models = [
            one for one in self.loaded.values() if not isinstance(one, DenoiserCheckpoint | ControlCheckpoint)
        ]
        return Catalog(checkpoints, guidance_models, controls)

    def refusing(self, refused: dict[str, str], instead: "CheckpointFolder") -> "CheckpointFolder":
        """The same, but what was refused, now or before, is as it is on another shelf, if it is there."""
        refused = self.refused | refused
        kept = {name: one for name, one in instead.loaded.items() if name in refused}
        new = {name: one for name, one in self.loaded.items() if name not in refused}
        return replace(self, loaded=dict(sorted((new | kept).items())), refused=refused)


def read_checkpoint_folder(folder: Path) -> CheckpointFolder:
    """Everything in the folder. What is broken is named in the log and left out; a folder that cannot be read is
    empty."""
    checkpoint_folder = CheckpointFolder({}, {})
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        log.error("the folder of checkpoints cannot be read", folder=str(folder), reason=error.strerror)
        return checkpoint_folder

    def refuse(path: Path, reason: str) -> None:
        log.error("checkpoint left out", checkpoint=path.name, reason=reason)
        checkpoint_folder.refused[path.name] = reason

    loaded = []
    for path in paths:
        role = read_role(path)
        if not path.is_dir() or role not in (*LOADERS, None):  # a judge, say
            continue
        try:  # what has no role is broken, and says so when it is loaded
            one = LOADERS[role or "denoiser"](path)
        except CheckpointError as error:
            refuse(path, str(error))
        except Exception as error:  # whatever a broken folder makes torch or a parser raise, the others serve
            refuse(path, f"{type(error).__name__}: {error}")
        else:
            loaded.append((path, one))

    found: dict[str, Path] = {}
    loaded.sort(key=lambda of: of[0].name != of[1].config.name)  # a copy comes after what is called so
    for path, one in loaded:
        name = one.config.name
        if name in found:
            refuse(path, f"its config.json calls it {name}, as that of {found[name].name} does")
        else:
            found[name], checkpoint_folder.loaded[name] = path, one
    return checkpoint_folder
